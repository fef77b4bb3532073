"""What simulated sensors measure."""

import json

import pytest

from edgecore.sim.signals import SIGNALS, Source, telemetry, value


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_value_depends_on_source_and_number_alone_and_stays_near_its_middle(signal):
    source = Source("mast-1", signal, 7)
    shape = SIGNALS[signal]
    values = [value(source, number) for number in range(1, 2 * shape.period)]
    assert values == [value(source, number) for number in range(1, 2 * shape.period)]
    assert all(0 <= one <= shape.middle + shape.swing + shape.noise for one in values)
    assert len(set(values)) > 10


def test_sources_and_seeds_differ():
    first = [value(Source("a", "noise", 1), number) for number in range(50)]
    assert first != [value(Source("b", "noise", 1), number) for number in range(50)]
    assert first != [value(Source("a", "noise", 2), number) for number in range(50)]


def test_a_message_names_thing_number_value_and_unit():
    source = Source("mast-1", "speed", 7)
    assert source.topic == "dt/mast-1/speed"
    message = json.loads(telemetry(source, 12))
    assert message == {"thing": "mast-1", "seq": 12, "value": value(source, 12), "unit": "km/h"}

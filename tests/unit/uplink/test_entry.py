"""Where a topic stands, by the rows that send it to the cloud."""

import pytest

from edgecore.base.group import Row
from edgecore.uplink.entry import Places

ROWS = (
    Row(("device:*",), ("dt/${thing}/#",), ("cloud",), priority=2),
    Row(("device:a",), ("dt/a/alarm", "x"), ("function:f", "cloud"), priority=9, ordered=True),
    Row(("device:*",), ("raw/#",), ("cloud",), as_topic="out/${thing}", priority=7),
    Row(("device:*",), ("local/#",), ("device:*",), priority=8),
)


@pytest.mark.parametrize(
    ("topic", "place"),
    [
        ("dt/b/t", (2, False)),
        ("dt/a/alarm", (9, True)),
        ("dt/a/other", (2, False)),
        ("x", (9, True)),
        ("out/b", (7, False)),
        ("raw/1", (4, False)),
        ("local/1", (4, False)),
    ],
)
def test_the_highest_priority_of_the_rows_that_lead_to_the_cloud_counts(topic, place):
    found = Places(ROWS).of(topic)
    assert (found.priority, found.ordered) == place


def test_a_topic_has_always_the_same_tag_and_share():
    one, two = Places(ROWS).of("dt/b/t"), Places(()).of("dt/b/t")
    assert (one.tag, one.share) == (two.tag, two.share)
    assert 0 <= one.tag <= 0xFFFF
    assert len({Places(()).of(f"dt/{n}").share % 4 for n in range(50)}) == 4

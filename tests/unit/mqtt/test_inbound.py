import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.inbound import Inbound, Known


def test_acknowledgements_keep_their_order():
    inbound = Inbound(10)
    first, second = inbound.owe(1, 1), inbound.owe(2, 1)
    second.reason_code = 0
    assert inbound.due() == []
    first.reason_code = 0x97
    assert [each.packet_id for each in inbound.due()] == [1, 2]
    assert not inbound.waiting


def test_a_qos_2_id_is_new_then_pending_then_recorded_then_free():
    inbound = Inbound(10)
    assert inbound.begin(5) is Known.NEW
    assert inbound.begin(5) is Known.TAKING
    with pytest.raises(RemoteProtocolError):
        inbound.release(5)
    inbound.sent(5, failed=False)
    assert inbound.begin(5) is Known.TAKEN
    assert inbound.release(5) is Known.TAKEN
    assert inbound.release(5) is Known.LETTING_GO
    inbound.released(5)
    assert inbound.release(5) is Known.NEW
    assert inbound.begin(5) is Known.NEW


def test_a_failed_pubrec_frees_its_id():
    inbound = Inbound(10)
    inbound.begin(5)
    inbound.sent(5, failed=True)
    assert inbound.begin(5) is Known.NEW


def test_identifiers_of_an_earlier_run_are_known_and_what_was_owed_is_not():
    inbound = Inbound(10, [5])
    inbound.owe(7, 1)
    inbound.reconnect()
    assert inbound.begin(5) is Known.TAKEN
    assert not inbound.waiting


def test_unreleased_ids_are_bounded():
    inbound = Inbound(2)
    inbound.begin(1)
    inbound.begin(2)
    assert inbound.full
    with pytest.raises(RemoteProtocolError) as caught:
        inbound.begin(3)
    assert caught.value.reason_code == 0x93

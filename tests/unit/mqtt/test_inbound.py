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


def test_a_qos_2_message_that_is_not_answered_yet_counts_once():
    inbound = Inbound(4)
    for packet_id in (1, 2):
        inbound.begin(packet_id)
        inbound.owe(packet_id, 2)
    inbound.owe(3, 1)
    assert not inbound.full
    last = inbound.owe(4, 1)
    assert inbound.full
    for pending in inbound._owed:
        pending.reason_code = 0
    assert inbound.due()[-1] is last
    assert not inbound.full  # two identifiers that are not released


def test_what_was_answered_counts_no_more():
    inbound = Inbound(1)
    inbound.owe(1, 1).reason_code = 0
    assert inbound.full
    assert len(inbound.due()) == 1
    assert not inbound.full


def test_what_is_unreleased_from_an_earlier_connection_takes_nothing_from_the_next_one():
    """A client's quota is full anew (5, 4.9), though it has not released all that it had sent."""
    inbound = Inbound(2, [7, 8])
    inbound.reconnect()
    for packet_id in (1, 2):
        assert not inbound.full
        assert inbound.begin(packet_id) is Known.NEW
    assert inbound.full
    with pytest.raises(RemoteProtocolError):
        inbound.begin(3)


def test_who_never_releases_anything_has_no_more_for_reconnecting_again_and_again():
    inbound = Inbound(2)
    for packet_id in range(1, 5):
        inbound.reconnect()
        inbound.begin(packet_id)
    inbound.reconnect()
    with pytest.raises(RemoteProtocolError):
        inbound.begin(5)


def test_what_was_owed_on_the_old_connection_does_not_count_on_the_new_one():
    inbound = Inbound(1)
    inbound.owe(1, 1)
    inbound.reconnect()
    assert not inbound.full

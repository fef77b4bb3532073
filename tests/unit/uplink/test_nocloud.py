from edgecore.base.identity import CLOUD, device
from edgecore.base.message import Message
from edgecore.uplink.nocloud import NoCloud


def test_it_takes_everything_keeps_nothing_and_says_so():
    target = NoCloud()
    assert target.principal == CLOUD
    assert target.deliver(Message("a", b"", 1, device("d")), 1, retain=False) is None
    status = target.status()
    assert status["state"] == "not configured"
    assert status["dropped"] == {"no cloud configured": 1}

"""One MQTT client with a certificate of its own."""

import ssl

import pytest

from edgecore.sim import device as module
from edgecore.sim.device import Credentials, Device, Endpoint

WITHIN = 10

# paho leaves a socket to the garbage collector when the peer resets it during the handshake.
broken_link = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_RECONNECT", (0.05, 0.1))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_messages_arrive_and_are_acknowledged(cloud, version, eventually):
    inbox, answers = [], []
    receiver = cloud.device(
        "loop-2", subscriptions=["dt/#"], received=lambda *message: inbox.append(message), version=version
    )
    sender = cloud.device("loop-1", version=version)
    async with receiver.running(), sender.running():
        await receiver.until_connected(WITHIN)
        await sender.until_connected(WITHIN)
        for number in range(40):
            assert sender.publish("dt/loop-1/x", b"%d" % number, acknowledged=answers.append)
        await eventually(lambda: len(answers) == len(inbox) == 40)
    assert inbox == [("dt/loop-1/x", b"%d" % number) for number in range(40)]
    assert answers == [True] * 40
    assert sender.waiting == 0
    assert sender.connects == 1


@broken_link
async def test_what_is_published_before_the_connection_counts_once_acknowledged(cloud, eventually):
    answers = []
    sender = cloud.device("loop-1")
    cloud.link.cut()
    async with sender.running():
        sender.publish("dt/loop-1/x", b"early", acknowledged=answers.append)
        assert (sender.connected, sender.waiting, answers) == (False, 1, [])
        cloud.link.restore()
        await eventually(lambda: answers == [True])


async def test_before_its_start_and_after_its_end_it_sends_nothing(cloud):
    device = cloud.device("loop-1")
    assert not device.publish("dt/loop-1/x", b"early")
    async with device.running():
        await device.until_connected(WITHIN)
    assert not device.publish("dt/loop-1/x", b"late")
    assert (device.connected, device.waiting) == (False, 0)
    await device.stop()  # a second time does nothing


@broken_link
@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_after_a_break_it_connects_again_and_sends_what_waits(cloud, version, eventually):
    connects, answers = [], []
    sender = cloud.device("loop-1", version=version, connected=lambda: connects.append(1))
    async with sender.running():
        await sender.until_connected(WITHIN)
        cloud.link.cut()
        await eventually(lambda: not sender.connected)
        for number in range(30):
            sender.publish("dt/loop-1/x", b"%d" % number, acknowledged=answers.append)
        assert answers == []
        cloud.link.restore()
        await eventually(lambda: len(answers) == 30)
    assert sender.connects == len(connects) == 2


@broken_link
async def test_only_so_much_waits(cloud, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    sender = cloud.device("loop-1")
    cloud.link.cut()
    async with sender.running():
        taken = [sender.publish("dt/loop-1/x", b"") for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert sender.waiting == 3


async def test_a_subscription_that_is_refused_is_told(cloud, eventually):
    # AWS IoT allows eight levels.
    device = cloud.device("loop-1", subscriptions=["dt/#", "1/2/3/4/5/6/7/8/9"], version="5")
    async with device.running():
        await eventually(lambda: device.refused_subscriptions)
    assert device.refused_subscriptions == ["1/2/3/4/5/6/7/8/9"]


async def test_who_is_not_connected_in_time_is_named(tmp_path, cloud):
    lonely = Device("loop-1", Endpoint("127.0.0.1", 1), cloud.credentials("loop-1"))
    async with lonely.running():
        with pytest.raises(TimeoutError, match=r"loop-1 is not connected after 0\.1 s: no answer"):
            await lonely.until_connected(0.1)


def test_credentials_that_do_not_belong_together_are_refused(tmp_path):
    for name in ("a", "b", "ca"):
        (tmp_path / name).write_text("nothing")
    with pytest.raises(ssl.SSLError):
        Credentials(tmp_path / "a", tmp_path / "b", tmp_path / "ca").context()

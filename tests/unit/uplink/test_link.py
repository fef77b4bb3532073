"""The link as other rooms see it."""

import asyncio

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.uplink import link as room
from edgecore.uplink.link import Link


@pytest.fixture
def link():
    return Link(ManualClock())


async def begun(coroutine):
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def test_offline_it_refuses_for_now(link):
    assert not link.connected
    with pytest.raises(TransientCloudError, match="not connected"):
        await link.publish("a", b"")
    with pytest.raises(TransientCloudError):
        await link.subscribe("a", lambda _t, _p: None)


async def test_a_publish_returns_after_the_puback(link, client):
    link.up(client)
    task = await begun(link.publish("$aws/things/a/shadow/update", b"{}"))
    ((message, qos, _),) = client.published
    assert (message.topic, message.payload, qos) == ("$aws/things/a/shadow/update", b"{}", 1)
    assert not task.done()
    client.settle()
    await task


async def test_a_refusal_comes_back(link, client):
    link.up(client)
    task = await begun(link.publish("a", b""))
    client.settle(PermanentCloudError("refused"))
    with pytest.raises(PermanentCloudError, match="refused"):
        await task


async def test_a_cut_ends_what_waits(link, client):
    link.up(client)
    task = await begun(link.publish("a", b""))
    link.down("cut")
    with pytest.raises(TransientCloudError, match="cut"):
        await task
    client.settle()  # the library's own word comes late and changes nothing


async def test_a_payload_above_the_limit_is_refused_at_once(link, client):
    link.up(client)
    with pytest.raises(PermanentCloudError, match="131072"):
        await link.publish("a", bytes(131_073))


async def test_waiting_publishes_are_bounded(link, client, monkeypatch):
    monkeypatch.setattr(room, "MAX_PENDING", 1)
    link.up(client)
    task = await begun(link.publish("a", b""))
    with pytest.raises(TransientCloudError, match="wait"):
        await link.publish("b", b"")
    client.settle()
    await task


async def test_watchers_hear_each_change_until_they_end(link, client):
    heard = []
    end = link.watch(heard.append)
    link.up(client)
    link.down("x")
    link.down("again")
    end()
    end()
    link.up(client)
    assert heard == [True, False]


async def test_messages_go_to_the_matching_receivers(link, client):
    link.up(client)
    commit = Commit()
    got = []
    await link.subscribe(
        "$aws/things/+/shadow/#", lambda topic, payload: got.append((topic, payload)) or commit
    )
    await link.subscribe("$aws/things/a/shadow/get", lambda _t, _p: None)
    assert client.subscribed == ["$aws/things/+/shadow/#", "$aws/things/a/shadow/get"]
    assert link.receive("$aws/things/a/shadow/get", b"x") == [commit]
    assert got == [("$aws/things/a/shadow/get", b"x")]
    assert link.receive("$aws/things/a/jobs/get", b"") is None


async def test_subscriptions_end_with_the_link(link, client):
    link.up(client)
    await link.subscribe("a", lambda _t, _p: None)
    link.down("x")
    assert link.receive("a", b"") is None


async def test_a_refused_subscription_is_an_error_and_receives_nothing(link, client):
    link.up(client)
    client.refuses = {"a": "NOT_AUTHORIZED"}
    with pytest.raises(PermanentCloudError, match="NOT_AUTHORIZED"):
        await link.subscribe("a", lambda _t, _p: None)
    assert link.receive("a", b"") is None


async def test_a_failed_subscription_receives_nothing(link, client):
    link.up(client)
    client.subscribe_errors = [TransientCloudError("cut")]
    with pytest.raises(TransientCloudError):
        await link.subscribe("a", lambda _t, _p: None)
    assert link.receive("a", b"") is None

"""Neighbours of the shadow room: a bus that remembers, and a cloud that does what AWS documents."""

import asyncio
import json

import pytest

from edgecore.base.backoff import Backoff
from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.group import ShadowSpec
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.base.topic import matches
from edgecore.shadow import ShadowService, ShadowSettings
from edgecore.shadow.document import NOTHING
from edgecore.shadow.requests import Rejection, carry_out, rejected, understand
from edgecore.shadow.topics import parse
from edgecore.store import Database, StoreSettings


class FakeBus:
    """Remembers what is published; `commits` are given back with each publish."""

    def __init__(self):
        self.messages = []
        self.attached = {}
        self.commits = ()
        self.delivering = False

    def publish(self, message):
        assert not self.delivering, "a subscriber must not publish from within deliver"
        self.messages.append(message)
        return Receipt(True, 1, self.commits)

    def attach(self, target, subscriber):
        self.attached[target] = subscriber

    def detach(self, target, subscriber):
        assert self.attached.pop(target) is subscriber

    def send(self, topic, payload):
        """A device publishes; gives the Commit that its PUBACK waits for."""
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.delivering = True
        try:
            return self.attached["shadow"].deliver(Message(topic, payload, 1, device("d")), 1, False)
        finally:
            self.delivering = False

    def heard(self, suffix=""):
        return [json.loads(m.payload) for m in self.messages if m.topic.endswith(suffix)]


class FakeCloud:
    """A CloudLink with an ideal shadow service behind it.

    `requests`: (verb, body) as they came. `answer_with`: codes to reject the next requests with.
    `cut`: a list of "before" | "after" | "": where the link goes down at the next requests.
    `silent`: requests to leave unanswered.
    """

    def __init__(self):
        self.connected = False
        self.documents = {}
        self.requests = []
        self.answer_with = []
        self.cut = []
        self.silent = 0
        self.refuse_subscribe = ()
        self.unacknowledged = []
        self._watchers = []
        self._receivers = {}

    # CloudLink

    def watch(self, changed):
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def publish(self, topic, payload):
        await asyncio.sleep(0)
        if not self.connected:
            raise TransientCloudError("offline")
        cut = self.cut.pop(0) if self.cut else ""
        if cut == "before":
            self.go_down()
            raise TransientCloudError("cut")
        shadow, verb = parse(topic)
        self.requests.append((verb, json.loads(payload)))
        if self.silent:
            self.silent -= 1
            return
        if self.answer_with:
            code = self.answer_with.pop(0)
            token = json.loads(payload)["clientToken"]
            self._tell(shadow, [rejected(verb, (code, "no"), token)])
            return
        replies = self.carry_out(shadow, verb, payload)
        if cut == "after":
            self.go_down()
            raise TransientCloudError("cut")
        self._tell(shadow, replies)

    async def subscribe(self, topic_filter, receive):
        await asyncio.sleep(0)
        if not self.connected:
            raise TransientCloudError("offline")
        if topic_filter in self.refuse_subscribe:
            raise PermanentCloudError(f"refused {topic_filter}")
        self._receivers[topic_filter] = receive

    # What the test does

    def go_up(self):
        self.connected = True
        self._changed()

    def go_down(self):
        self.connected = False
        self._receivers.clear()
        self._changed()

    def _changed(self):
        for watcher in list(self._watchers):
            watcher(self.connected)

    def edit(self, shadow, state, verb="update"):
        """Another client of the cloud publishes."""
        payload = json.dumps({"state": state}).encode() if verb == "update" else b""
        self._tell(shadow, self.carry_out(shadow, verb, payload))

    def carry_out(self, shadow, verb, payload):
        document = self.documents.get(shadow, NOTHING)
        try:
            request = understand(verb, payload, 8)
        except Rejection as refusal:
            return [rejected(verb, (refusal.code, refusal.text), refusal.token)]
        outcome = carry_out(shadow, request, document, 1, 8192)
        if outcome.document is not None:
            self.documents[shadow] = outcome.document
        return outcome.replies

    def state(self, shadow):
        document = self.documents.get(shadow, NOTHING)
        return None if document.deleted else document.state

    def _tell(self, shadow, replies):
        for reply in replies:
            asyncio.get_running_loop().call_soon(self.say, shadow.topic(reply.suffix), reply.payload)

    def say(self, topic, payload):
        for topic_filter, receive in list(self._receivers.items()):
            if matches(topic_filter, topic):
                commit = receive(topic, payload)
                if commit is not None:
                    commit.when_done(lambda error: self.unacknowledged.append(topic) if error else None)


class House:
    """A shadow service with its neighbours, on a database of its own."""

    def __init__(self, db, settings, specs):
        self.bus = FakeBus()
        self.cloud = FakeCloud()
        self.clock = ManualClock()
        self.db = db
        self.settings = settings
        self.specs = specs
        self.restarts = 0

    async def __aenter__(self):
        await self.start()
        return self

    async def start(self):
        self.restarts += 1
        tokens = iter(range(10**9))
        self.service = ShadowService(
            self.settings,
            self.specs,
            self.bus,
            self.db,
            self.cloud,
            self.clock,
            rand=lambda: 0.0,
            token=lambda: f"{self.restarts}-{next(tokens)}",
        )
        ready = asyncio.Event()
        self.task = asyncio.ensure_future(self.service.run(ready.set))
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait([self.task, waiting], timeout=10, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def __aexit__(self, *_):
        await self.stop()

    def local(self, shadow):
        document = self.service._shadows.document(shadow)
        return None if document.deleted else document.state

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  conditions over several neighbours have no one event
                await asyncio.sleep(0.0005)

    async def in_step(self, shadow):
        """Wait until both sides are the same and nothing is under way."""
        exchange = self.service._sync.exchanges[shadow]
        await self.until(
            lambda: (
                exchange.dialogue.is_in_step(exchange.local)
                and self.service.status()["pending"] == 0
                and self.local(shadow) == self.cloud.state(shadow)
            )
        )


FAST = ShadowSettings(reply_timeout=0.05, retry=Backoff(initial=0.001, maximum=0.002))
SPECS = {"t": ShadowSpec(sync=True, named=("n",)), "other": ShadowSpec(sync=False, named=("x",))}


@pytest.fixture(scope="session")
def house_of():
    """(db, settings, specs) -> a house; for tests that make many."""

    def make(db, settings=FAST, specs=SPECS):
        return House(db, settings, specs)

    return make


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as database:
        yield database


@pytest.fixture
async def house(db, house_of):
    async with house_of(db) as house:
        yield house


@pytest.fixture
def failed_commit():
    commit = Commit()
    commit.resolve(RuntimeError("no"))
    return commit

"""Laws of the queue and its ledger: they do what a plain list of records would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.base.errors import RefusedError
from edgecore.base.identity import Principal
from edgecore.base.message import Message, Properties
from edgecore.store import (
    Database,
    DurableQueue,
    MemoryQueue,
    QueueBounds,
    StoreSettings,
    decode_message,
    durable,
    encode_message,
)
from edgecore.store.ledger import Ledger

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 40)),
        st.tuples(st.just("ack"), st.lists(st.integers(0, 30), max_size=4)),
        st.tuples(st.just("settle"), st.none()),
    ),
    max_size=40,
)
bounds = st.builds(
    QueueBounds, st.integers(1, 8), st.integers(10, 100), st.sampled_from(["drop-oldest", "refuse"])
)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 9)), max_size=200))
def test_a_ledger_is_a_dict_in_order(actions):
    ledger, model, identifier = Ledger(), {}, 0
    for add, pick, size in actions:
        if add:
            identifier += 1 + pick
            ledger.add(identifier, size)
            model[identifier] = size
        else:
            assert ledger.remove(pick) == (model.pop(pick, None) is not None)
        assert ledger.count == len(model)
        assert ledger.bytes == sum(model.values())
        assert ledger.oldest() == min(model, default=None)


LANES = 3
laned_steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, LANES - 1), st.integers(0, 6), st.integers(0, 3)),
        st.tuples(st.just("ack"), st.integers(0, 40), st.just(0), st.just(0)),
        st.tuples(st.just("keep"), st.integers(0, 40), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(st.builds(QueueBounds, st.integers(1, 6), st.integers(10, 40)), laned_steps)
def test_a_full_queue_drops_the_oldest_of_the_lowest_lane_that_is_not_kept(bounds, steps):
    queue = MemoryQueue("q", bounds, LANES)
    held, kept, number, overflow = {}, set(), 0, 0  # id -> (lane, size, tag)
    for kind, first, size, tag in steps:
        if kind == "append":
            size += 2  # the tag in front
            number += 1
            queue.append(bytes(size - 2), first, tag, kept.__contains__)
            gone = False
            while (
                len(held) >= bounds.max_records
                or sum(s for _, s, _ in held.values()) + size > bounds.max_bytes
            ):
                overflow += 1
                free = [one for one in held if one not in kept] or list(held)
                oldest = min(free, key=lambda one: (held[one][0], one))
                if gone := held[oldest][0] > first:
                    break
                del held[oldest]
            if not gone:
                held[number] = (first, size, tag)
        elif kind == "ack":
            queue.ack([first])
            held.pop(first, None)
        else:
            kept.add(first)
        assert {one for one in range(number + 1) if one in queue} == set(held)
        assert [queue.waiting(n) for n in range(LANES)] == [
            sum(lane == n for lane, _, _ in held.values()) for n in range(LANES)
        ]
        assert [queue.held(n) for n in range(4)] == [sum(t == n for *_, t in held.values()) for n in range(4)]
    assert queue.dropped.get("overflow", 0) == overflow


class Model:
    """The contract in a few lines."""

    def __init__(self, bounds):
        self.bounds, self.records = bounds, {}

    def fits(self, size):
        used = sum(len(record) for record in self.records.values())
        return len(self.records) < self.bounds.max_records and used + size <= self.bounds.max_bytes

    def append(self, identifier, record):
        while not self.fits(len(record)):
            del self.records[min(self.records)]
        self.records[identifier] = record

    def accepts(self, record):
        if len(record) > self.bounds.max_bytes:
            return False
        return self.bounds.overflow == "drop-oldest" or self.fits(len(record))


async def play(queue, model, steps):
    ids, last = [], None
    for kind, argument in steps:
        if kind == "append":
            record = bytes(argument)
            accepted = model.accepts(record)
            try:
                identifier, last = queue.append(record)
            except RefusedError:
                assert not accepted
                continue
            assert accepted
            assert not ids or identifier > ids[-1]
            ids.append(identifier)
            model.append(identifier, record)
        elif kind == "ack":
            chosen = [ids[n] for n in argument if n < len(ids)]
            last = queue.ack(chosen)
            for identifier in chosen:
                model.records.pop(identifier, None)
        elif last is not None:
            await durable(last)
        assert queue.count == len(model.records)
        assert queue.bytes == sum(len(record) for record in model.records.values())
    assert await queue.peek(0, 100, 10_000) == sorted(model.records.items())


@settings(max_examples=60, deadline=None)
@given(bounds, steps)
async def test_memory_keeps_the_contract(bounds, steps):
    await play(MemoryQueue("q", bounds), Model(bounds), steps)


@settings(max_examples=25, deadline=None)
@given(bounds, steps)
async def test_disk_keeps_the_contract_and_survives(tmp_path_factory, bounds, steps):
    path = tmp_path_factory.mktemp("queue") / "core.db"
    model = Model(bounds)
    async with Database(path, StoreSettings(reserve_bytes=0)) as db:
        queue = DurableQueue(db, "q", bounds)
        await queue.open()
        await play(queue, model, steps)
    async with Database(path, StoreSettings(reserve_bytes=0)) as db:
        queue = DurableQueue(db, "q", bounds)
        await queue.open()
        assert await queue.peek(0, 100, 10_000) == sorted(model.records.items())
        assert queue.count == len(model.records)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
properties = st.none() | st.builds(
    Properties,
    st.none() | st.integers(0, 1),
    st.none() | text,
    st.none() | text,
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(text, text), max_size=3).map(tuple),
)
messages = st.builds(
    Message,
    text,
    st.binary(max_size=200),
    st.integers(0, 2),
    st.builds(Principal, st.sampled_from(["device", "function", "cloud", "shadow"]), text, text),
    st.booleans(),
    st.none() | st.floats(0, 1e12),
    properties,
)


@given(messages)
def test_an_envelope_gives_the_message_back(message):
    again = decode_message(encode_message(message))
    for field in ("topic", "payload", "qos", "sender", "retain", "expires_at", "properties"):
        assert getattr(again, field) == getattr(message, field)

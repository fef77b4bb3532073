"""The contract is in tests/contracts/test_durable_queue.py; here what is special to memory."""

from edgecore.store import MemoryQueue, QueueBounds


async def test_every_commit_is_resolved_at_once():
    queue = MemoryQueue("q", QueueBounds(2, 100))
    await queue.open()
    identifier, commit = queue.append(b"x")
    assert commit.resolved
    assert queue.ack([identifier]).resolved
    assert (queue.count, queue.bytes, await queue.peek(0, 1, 1)) == (0, 0, [])

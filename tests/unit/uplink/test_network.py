"""What the kernel says of routes and addresses, and what is made of it."""

import asyncio
import contextlib
import errno
import socket
import struct

import pytest

from edgecore.uplink.network import (
    GONE_LINK,
    NEW_ADDRESS,
    NEW_LINK,
    NEW_ROUTE,
    Reading,
    messages,
    open_netlink,
    watch,
)

HEADER = struct.Struct("=IHHII")
UP, RUNNING = 0x1, 0x40
DELETED_ROUTE = 25


def datagram(*messages):
    """Netlink messages of (type, body, or how many bytes of zero it has)."""
    out = b""
    for kind, body in messages:
        body = bytes(body)
        one = HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body
        out += one + bytes(-len(one) % 4)
    return out


def test_the_messages_of_a_datagram():
    told = datagram((NEW_ROUTE, 13), (NEW_ADDRESS, b"body"))
    assert list(messages(told)) == [(NEW_ROUTE, bytes(13)), (NEW_ADDRESS, b"body")]


@pytest.mark.parametrize("broken", [b"", b"\0" * 7, b"\0" * 64, HEADER.pack(5, 24, 0, 0, 0)])
def test_a_broken_datagram_is_read_as_far_as_it_goes(broken):
    assert list(messages(broken)) == []


def link(index, flags, kind=NEW_LINK):
    """What the kernel says of a link, and of its queue discipline behind."""
    return datagram((kind, struct.pack("=BxHiII", 0, 1, index, flags, 0xFFFFFFFF) + b"\x0b\0\x06\0fq\0\0"))


class TestLinks:
    def test_a_carrier_that_is_back_is_news_once(self):
        reading = Reading()
        told = [UP, UP | RUNNING, UP | RUNNING, UP, UP | RUNNING]
        assert [reading.is_news(link(2, flags)) for flags in told] == [False, True, False, False, True]

    def test_each_link_is_one_of_its_own(self):
        reading = Reading()
        assert [reading.is_news(link(index, RUNNING)) for index in (2, 3, 2)] == [True, True, False]

    def test_one_that_is_gone_and_comes_again_is_new(self):
        reading = Reading()
        told = [link(2, RUNNING), link(2, RUNNING, GONE_LINK), link(2, RUNNING)]
        assert [reading.is_news(each) for each in told] == [True, False, True]

    def test_all_of_a_datagram_is_read_also_behind_what_is_news(self):
        reading = Reading()
        assert reading.is_news(datagram((NEW_ROUTE, 8)) + link(2, RUNNING))
        assert not reading.is_news(link(2, RUNNING))

    def test_one_that_is_too_short_says_nothing(self):
        assert not Reading().is_news(datagram((NEW_LINK, 15)))


class Pair:
    def __init__(self):
        self.kernel, self.here = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.here.setblocking(False)
        self.changes = []

    @contextlib.asynccontextmanager
    async def watched(self):
        task = asyncio.create_task(watch(lambda: self.changes.append(1), lambda: self.here))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.kernel.close()


async def test_a_new_route_is_a_change_and_one_that_is_gone_is_none(until):
    pair = Pair()
    async with pair.watched():
        pair.kernel.send(datagram((DELETED_ROUTE, 8)))
        pair.kernel.send(datagram((DELETED_ROUTE, 8), (NEW_ROUTE, 8)))
        pair.kernel.send(datagram((NEW_ADDRESS, 8)))
        await until(lambda: len(pair.changes) == 2)


async def test_more_than_the_socket_could_hold_is_a_change(monkeypatch, until):
    pair = Pair()
    real, said = asyncio.get_running_loop().sock_recv, [OSError(errno.ENOBUFS, "No buffer space available")]

    async def sock_recv(*arguments):
        if said:
            raise said.pop()
        return await real(*arguments)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", sock_recv)
    async with pair.watched():
        await until(lambda: pair.changes)


async def test_a_socket_that_is_broken_is_given_up(monkeypatch, caplog):
    async def sock_recv(*_arguments):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", sock_recv)
    pair = Pair()
    await watch(lambda: pair.changes.append(1), lambda: pair.here)
    pair.kernel.close()
    assert pair.changes == []
    assert "heard no more" in caplog.text


async def test_a_machine_that_does_not_tell_is_no_fault(caplog):
    def refuse():
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    caplog.set_level("INFO")
    await watch(lambda: None, refuse)
    assert "found by trying" in caplog.text


def test_the_kernel_lets_us_listen():
    open_netlink().close()


def test_a_socket_that_cannot_be_bound_is_closed(monkeypatch):
    made = []

    class Unbindable(socket.socket):
        def bind(self, _address):
            made.append(self)
            raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("edgecore.uplink.network.socket.socket", Unbindable)
    with pytest.raises(OSError, match="not permitted"):
        open_netlink()
    assert made[0].fileno() == -1

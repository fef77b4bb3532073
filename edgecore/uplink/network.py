"""Hears from the kernel of a new address, route or carrier: then the cloud may be reached again.

A cable that is back brings no address where that is fixed, only a carrier. Linux tells it over netlink
(rtnetlink(7)); where it does not, the cloud is found by trying as before.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

_log = logging.getLogger(__name__)

# From linux/rtnetlink.h: what to subscribe to, and the messages that say that something is there.
GROUPS: Final = (
    0x1 | 0x10 | 0x40 | 0x100 | 0x400
)  # links, IPv4 addresses and routes, IPv6 addresses and routes
NEW_LINK: Final = 16
GONE_LINK: Final = 17
NEW_ADDRESS: Final = 20
NEW_ROUTE: Final = 24
# nlmsghdr: length, type, flags, sequence, port; the next one starts at a multiple of 4.
_HEADER: Final = struct.Struct("=IHHII")
# ifinfomsg, the head of what is said of a link: family, type, index, flags, which of them changed.
_LINK: Final = struct.Struct("=BxHiII")
# From linux/if.h: it is up, and at its other end somebody is there (IFF_RUNNING).
_RUNNING: Final = 0x40
_READ: Final = 65_536


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages in a datagram from the kernel: the type and the body of each."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size:
            return
        yield kind, datagram[offset + _HEADER.size : offset + length]
        offset += -(-length // 4) * 4


class Reading:
    """Which messages say that something new is there. Knows which links run: much else is said of them."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def is_news(self, datagram: bytes) -> bool:
        """Whether a message of it says so."""
        news = [self._is_new(kind, body) for kind, body in messages(datagram)]  # all: each tells of a link
        return any(news)

    def _is_new(self, kind: int, body: bytes) -> bool:
        if kind not in (NEW_LINK, GONE_LINK):
            return kind in (NEW_ADDRESS, NEW_ROUTE)
        if len(body) < _LINK.size:
            return False
        _, _, index, flags, _ = _LINK.unpack_from(body)
        if kind == GONE_LINK or not flags & _RUNNING:
            self._running.discard(index)
            return False
        was_running = index in self._running
        self._running.add(index)
        return not was_running


def open_netlink() -> socket.socket:
    """A socket that hears of links, addresses and routes. Raises OSError."""
    listening = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        listening.bind((0, GROUPS))
    except OSError:
        listening.close()
        raise
    return listening


async def watch(changed: Callable[[], None], listen: Callable[[], socket.socket] = open_netlink) -> None:
    """Call `changed()` whenever an address, a route or a carrier is new, until cancelled."""
    try:
        listening = listen()
    except (OSError, AttributeError) as error:
        _log.info("changes of the network are not heard, the cloud is found by trying: %s", error)
        return
    reading = Reading()
    with listening:
        loop = asyncio.get_running_loop()
        while True:
            try:
                datagram = await loop.sock_recv(listening, _READ)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    _log.warning("changes of the network are heard no more: %s", error)
                    return
                changed()  # more happened than the socket could hold: something did
                continue
            if reading.is_news(datagram):
                changed()

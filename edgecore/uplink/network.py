"""Hears from the kernel when the machine gets an address or a route: then the cloud may be reached again.

Linux tells it over netlink (rtnetlink(7)); where it does not, the cloud is found by trying as before.
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
GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400  # IPv4 addresses and routes, IPv6 addresses and routes
NEW_ADDRESS: Final = 20
NEW_ROUTE: Final = 24
# nlmsghdr: length, type, flags, sequence, port; the next one starts at a multiple of 4.
_HEADER: Final = struct.Struct("=IHHII")
_READ: Final = 65_536


def kinds(datagram: bytes) -> Iterator[int]:
    """The types of the messages in a datagram from the kernel."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size:
            return
        yield kind
        offset += -(-length // 4) * 4


def open_netlink() -> socket.socket:
    """A socket that hears of addresses and routes. Raises OSError."""
    listening = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        listening.bind((0, GROUPS))
    except OSError:
        listening.close()
        raise
    return listening


async def watch(changed: Callable[[], None], listen: Callable[[], socket.socket] = open_netlink) -> None:
    """Call `changed()` whenever an address or a route is new, until cancelled."""
    try:
        listening = listen()
    except (OSError, AttributeError) as error:
        _log.info("changes of the network are not heard, the cloud is found by trying: %s", error)
        return
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
            if any(kind in (NEW_ADDRESS, NEW_ROUTE) for kind in kinds(datagram)):
                changed()

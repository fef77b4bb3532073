"""What this machine is called: the names and addresses that the server's certificate must carry.

Read from the kernel and never from DNS: a start must not wait for a network.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# A label of a DNS name (RFC 1123, 2.1). A host name that is none of these cannot stand in a certificate.
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*")
# In /proc/net/fib_trie a leaf line `|-- ADDRESS` is followed by what it is: `/32 host LOCAL`.
_IPV4_LOCAL: Final = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL")


def local_names(proc: Path = Path("/proc/net"), host: str = "") -> tuple[str, ...]:
    """The host's name, its mDNS name and all its addresses, sorted; link-local ones are left out.

    `proc` and `host` stand in for this machine's in tests.
    """
    host = (host or socket.gethostname()).lower()
    names = set[str]()
    if _HOST_NAME.fullmatch(host):
        names |= {host, f"{host.partition('.')[0]}.local"}
    names.update(str(address) for address in _addresses(proc) if not address.is_link_local)
    return tuple(sorted(names))


def _addresses(proc: Path) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for found in _IPV4_LOCAL.finditer(_text(proc / "fib_trie")):
        yield ipaddress.IPv4Address(found.group(1))
    for line in _text(proc / "if_inet6").splitlines():
        yield ipaddress.IPv6Address(int(line.split()[0], 16))


def _text(path: Path) -> str:
    """The file's text; "" on a kernel without that protocol."""
    return path.read_text() if path.exists() else ""

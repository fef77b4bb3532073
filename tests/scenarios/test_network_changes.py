"""The kernel really tells of the network: addresses, routes and cables in a network namespace of their own.

Root only, for a namespace; it ends with the process that lives in it, and nothing of this machine's own network
is touched.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys

import pytest

WITHIN = 20
WATCHER = """
import asyncio
from edgecore.uplink.network import open_netlink, watch

def listen():
    listening = open_netlink()
    print("listening", flush=True)
    return listening

asyncio.run(watch(lambda: print("changed", flush=True), listen))
"""
# What IPv6 does by itself when a link comes up, and seconds later, would answer in place of the change.
QUIET = 'for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e "$f" ] || echo 1 > "$f"; done'
# The other end of the cable, eth8, is down: eth7 has no carrier.
CABLE = "ip link add eth7 type veth peer name eth8 && ip link set eth7 up"
ADDRESS = "ip addr add 192.0.2.7/24 dev eth7"
ROUTE = "ip route add default via 192.0.2.1 dev eth7"


def why_not():
    """Why there can be no namespace here; "" when there can."""
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: util-linux, iproute2)"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"{QUIET} && {CABLE}"], capture_output=True, text=True, check=False
    )
    return f"no network namespace with a cable in it: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture(scope="module", autouse=True)
def _permitted():
    if reason := why_not():
        pytest.skip(reason)


class Namespace:
    """A network namespace, and the watcher in it."""

    def __init__(self, process):
        self._process = process

    async def heard(self):
        """The next word of the watcher."""
        async with asyncio.timeout(WITHIN):
            return (await self._process.stdout.readline()).decode().strip()

    async def change(self, command):
        """Do something to the network in it."""
        inside = ("nsenter", f"--net=/proc/{self._process.pid}/ns/net")
        done = await asyncio.create_subprocess_exec(*inside, *command.split())
        assert await done.wait() == 0


@contextlib.asynccontextmanager
async def watched(*preparations):
    """A namespace in which the preparations were made before the watcher began to listen."""
    script = " && ".join((QUIET, *preparations, 'exec "$@"'))
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", "sh", "-ec", script, "sh", sys.executable, "-c", WATCHER),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    try:
        namespace = Namespace(process)
        assert await namespace.heard() == "listening"
        yield namespace
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("preparations", "change"),
    [
        ((), "ip link set lo up"),
        ((CABLE,), ADDRESS),
        ((CABLE, ADDRESS), ROUTE),
        ((CABLE, ADDRESS, ROUTE), "ip link set eth8 up"),
    ],
    ids=["loopback is up", "an address", "a route", "the cable is back, and every address was there"],
)
async def test_a_real_change_is_heard(preparations, change):
    async with watched(*preparations) as namespace:
        await namespace.change(change)
        assert await namespace.heard() == "changed"

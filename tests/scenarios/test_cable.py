"""A core whose cable is out, in a network namespace of its own, and a cloud at the cable's other end, in another one.

Root only, for the namespaces. They end with the processes that live in them; nothing of this machine's own network is
touched.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest

from tests.scenarios.test_network_changes import QUIET, why_not

pytestmark = pytest.mark.xdist_group("scenario")

CORE, CLOUD = "192.0.2.7", "192.0.2.1"
GROUP = """
[group]
name = "cable"
[devices.gate]
[[routes]]
from = "device:gate"
topic = "dt/#"
to = "cloud"
"""
# Nobody would wait for it to try again by itself.
SETTINGS = """
[uplink]
reconnect_min = "10m"
reconnect_max = "10m"
connect_timeout = "1s"
"""


@pytest.fixture(scope="module", autouse=True)
def _permitted():
    if reason := why_not():
        pytest.skip(reason)


@contextlib.asynccontextmanager
async def process(*argv, log=Path("/dev/null")):
    with await asyncio.to_thread(log.open, "ab") as output:
        started = await asyncio.create_subprocess_exec(*map(str, argv), stdout=output, stderr=output)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        await started.wait()


@contextlib.asynccontextmanager
async def namespace():
    """A network with nothing in it: gives what to put before a command that is to run there, and its name for `ip`."""
    async with process("unshare", "--net", "sh", "-c", f"{QUIET} && exec sleep 600") as holder:
        program = Path(f"/proc/{holder.pid}/comm")  # the last one: then all is prepared
        async with asyncio.timeout(20):
            while await asyncio.to_thread(program.read_text) != "sleep\n":  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)
        yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net"), str(holder.pid)


async def ip(inside, words):
    done = await asyncio.create_subprocess_exec(*inside, "ip", *words.split())
    assert await done.wait() == 0, words


async def test_a_core_connects_at_once_when_its_cable_is_back(site, eventually, edgecore_verb, tmp_path):
    async with namespace() as (here, core_side), namespace() as (there, _):
        await ip(there, f"link add eth8 type veth peer name eth7 netns {core_side}")
        for side, link, address in ((there, "eth8", CLOUD), (here, "eth7", CORE)):
            await ip(side, f"addr add {address}/24 dev {link}")
            await ip(side, f"link set {link} up")
        cloud = tmp_path / "cloud"
        run_cloud = (sys.executable, "-m", "edgecore", "sim", "cloud", "--dir", cloud, "--host", CLOUD)
        async with process(*there, *run_cloud):
            note = await eventually(
                lambda: (cloud / "cloud.json").exists() and (cloud / "cloud.json").read_text()
            )
            await ip(there, "link set eth8 down")

            files = [cloud / name for name in ("core.cert.pem", "core.key.pem", "ca.pem")]
            options = zip(("--cloud-cert", "--cloud-key", "--cloud-ca"), map(str, files), strict=True)
            where = ("--cloud", f"{CLOUD}:{json.loads(note)['port']}")
            await site.core.initialise("test-core", *where, *(word for pair in options for word in pair))
            await site.core.configure(SETTINGS)
            site.write_group(GROUP)
            run_core = (
                sys.executable,
                "-m",
                "edgecore",
                "run",
                "--dir",
                site.core.folder,
                "--group",
                site.group,
            )

            async def uplink():
                answer = await site.core.status()
                return answer["units"]["uplink"]["status"] if answer else {}

            async def waits():
                found = await uplink()
                return found.get("state") == "waiting" and found

            async def has_sent():
                return (await uplink())["outbox"]["sent"] == 1

            async with process(*here, *run_core, log=site.log):
                found = await eventually(waits, within=60)
                assert found["cause"] in {"no answer", "network unreachable"}
                code, _, err = await asyncio.to_thread(
                    edgecore_verb, "pub", "dt/a", "kept", "--qos", "1", "--dir", site.core.folder
                )
                assert code == 0, err
                await ip(there, "link set eth8 up")
                await eventually(has_sent)

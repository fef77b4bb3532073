"""`$SYS` as mosquitto_sub sees it, through a core made with `init`, `device add` and `run`."""

import asyncio
import resource
import shutil

import aiohttp
import pytest

from edgecore import __version__

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "watched"
[devices.watcher]
[devices.stranger]

[[routes]]
from = "core"
topic = "$SYS/#"
to = "device:watcher"
"""


async def mosquitto_sub(site, name, *options):
    """(exit code, standard output, standard error) of a mosquitto_sub with the device's certificate."""
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian: mosquitto-clients)")
    it = site.core.credentials(name)
    argv = ["mosquitto_sub", "-h", "localhost", "-p", site.core.port, "-V", "mqttv5", "-t", "$SYS/#", "-v"]
    argv += ["--cafile", it.ca, "--cert", it.certificate, "--key", it.key, *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*map(str, argv), stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


def figures(text):
    return dict(
        line.split(" ", 1) for line in text.replace("retained messages", "retained-messages").splitlines()
    )


@pytest.mark.interop
async def test_figures_come_at_once_by_a_row_and_only_by_a_row(site):
    site.write_group(GROUP)
    await site.core.initialise("test-core")
    await site.core.configure('[listener]\nsys_interval = "500ms"\n')
    await site.core.start(site.group)
    await site.core.add_devices(["watcher", "stranger"])

    # What is retained comes first, all of it: as many lines as there are topics.
    async with asyncio.timeout(20):
        while (await site.status("sys", "status", "topics")) < 30:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.1)
    topics = await site.status("sys", "status", "topics")
    code, out, err = await mosquitto_sub(site, "watcher", "--retained-only", "-W", "3")
    assert code in (0, 27), err  # 27: its own time is up, as asked
    told = figures(out)
    assert len(told) == topics
    assert told["$SYS/broker/version"] == f"edgecore version {__version__}"
    assert told["$SYS/broker/uptime"].endswith(" seconds")
    assert int(told["$SYS/broker/heap/current"]) > 1_000_000
    assert told["$SYS/broker/retained-messages/count"] == "0"

    # And then what changes: the watcher itself is counted.
    code, out, err = await mosquitto_sub(site, "watcher", "-W", "3")
    assert code == 27, err
    assert out.count("$SYS/broker/uptime") >= 2
    told = figures(out)
    assert told["$SYS/broker/clients/connected"] == "1"
    assert int(told["$SYS/broker/bytes/received"]) > 0

    code, out, err = await mosquitto_sub(site, "stranger", "-W", "3")
    assert out == ""
    assert "denied" in err.lower() or "not authorized" in err.lower()
    denied = await site.status("router", "status", "denied")
    assert denied == {"device:stranger": 1}


@pytest.fixture
def few_files():
    """Let what is started now begin with a soft limit that is lower than the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_prometheus_reads_what_the_listener_has_moved(site, few_files):
    site.write_group(GROUP)
    await site.start("watcher")
    async with site.connected("watcher"):
        connector = aiohttp.UnixConnector(str(site.core.control_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://core/metrics") as reply,
        ):
            lines = (await reply.text()).splitlines()
    assert "edgecore_listener_connected 1.0" in lines
    assert 'edgecore_listener_acknowledgement_seconds_bucket{le="+Inf"} 0.0' in lines
    (received,) = [line for line in lines if line.startswith("edgecore_listener_received_bytes_total")]
    assert float(received.split()[1]) > 0
    # And it may have as many connections as the system lets it.
    if few_files != resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        assert site.log_lines("open files", f"limit={few_files}", "before=512")

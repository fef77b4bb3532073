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
[devices.away]

[[routes]]
from = "core"
topic = "$SYS/#"
to = "device:watcher"

[[routes]]
from = "device:*"
topic = "t/#"
to = "device:*"
"""
# Every topic that Mosquitto 2.0.11 publishes, below $SYS/broker/; of loads, their beginnings.
TOPICS = """
bytes/received
bytes/sent
clients/active
clients/connected
clients/disconnected
clients/expired
clients/inactive
clients/maximum
clients/total
heap/current
heap/maximum
messages/received
messages/sent
messages/stored
publish/bytes/received
publish/bytes/sent
publish/messages/dropped
publish/messages/received
publish/messages/sent
retained messages/count
shared_subscriptions/count
store/messages/bytes
store/messages/count
subscriptions/count
uptime
version
"""
LOADS = """
bytes/received
bytes/sent
connections
messages/received
messages/sent
publish/dropped
publish/received
publish/sent
sockets
"""
MOSQUITTO = {
    *TOPICS.strip().splitlines(),
    *(f"load/{name}/{minutes}min" for name in LOADS.strip().splitlines() for minutes in (1, 5, 15)),
}
# Payload bytes alone are not counted here.
NOT_MEASURED = {"publish/bytes/received", "publish/bytes/sent"}


async def mosquitto(program, site, name, *options):
    """(exit code, standard output, standard error) of a Mosquitto tool with the device's certificate."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: mosquitto-clients)")
    it = site.core.credentials(name)
    argv = [program, "-h", "localhost", "-p", site.core.port, "-V", "mqttv5", *options]
    argv += ["--cafile", it.ca, "--cert", it.certificate, "--key", it.key]
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


async def watch(site, name, *options):
    return await mosquitto("mosquitto_sub", site, name, "-t", "$SYS/#", "-F", "%t=%p", *options)


def figures(text):
    lines = (line.removeprefix("$SYS/broker/") for line in text.splitlines())
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.interop
async def test_figures_come_at_once_by_a_row_and_only_by_a_row(site, eventually):
    site.write_group(GROUP)
    await site.core.initialise("test-core")
    await site.core.configure('[listener]\nsys_interval = "500ms"\n')
    await site.core.start(site.group)
    await site.core.add_devices(["watcher", "stranger"])

    # What is retained comes first, all of it: as many lines as there are topics.
    topics = await eventually(all_topics(site))
    code, out, err = await watch(site, "watcher", "--retained-only", "-W", "3")
    assert code in (0, 27), err  # 27: its own time is up, as asked
    told = figures(out)
    assert len(told) == topics
    assert MOSQUITTO - told.keys() == NOT_MEASURED
    assert told["version"] == f"edgecore version {__version__}"
    assert told["uptime"].endswith(" seconds")
    assert int(told["heap/current"]) > 1_000_000
    assert told["retained messages/count"] == "0"

    # And then what changes: the watcher itself is counted.
    code, out, err = await watch(site, "watcher", "-W", "3")
    assert code == 27, err
    assert out.count("$SYS/broker/uptime=") >= 2
    told = figures(out)
    assert told["clients/connected"] == "1"
    assert int(told["bytes/received"]) > 0

    code, out, err = await watch(site, "stranger", "-W", "3")
    assert out == ""
    assert "denied" in err.lower() or "not authorized" in err.lower()
    denied = await site.status("router", "status", "denied")
    assert denied == {"device:stranger": 1}


def all_topics(site):
    """How many topics there are, once loads are among them: not at the first look."""

    async def look():
        topics = await site.status("sys", "status", "topics")
        return topics if topics >= len(MOSQUITTO - NOT_MEASURED) else 0

    return look


@pytest.mark.interop
async def test_what_waits_for_a_client_that_is_away_is_counted_as_mosquitto_does(site, eventually):
    site.write_group(GROUP)
    await site.core.initialise("test-core")
    await site.core.configure('[listener]\nsys_interval = "500ms"\n')
    await site.core.start(site.group)
    await site.core.add_devices(["watcher", "stranger", "away"])
    subscribe = ["-t", "t/own", "-t", "$share/g/t/shared", "-q", "1", "-E"]  # -E: and leave
    code, _, err = await mosquitto("mosquitto_sub", site, "away", "-c", "-i", "away", "-x", "300", *subscribe)
    assert code == 0, err
    for topic, options in (("t/own", []), ("t/shared", []), ("t/kept", ["-r"])):
        publish = ["-t", topic, "-m", "hello", "-q", "1", *options]
        code, _, err = await mosquitto("mosquitto_pub", site, "stranger", *publish)
        assert code == 0, err

    async def counted():
        return figures((await watch(site, "watcher", "--retained-only", "-W", "1"))[1])

    async def all_counted():
        told = await counted()
        return told if told.get("store/messages/count") == "3" else None

    told = await eventually(all_counted)
    assert told["clients/disconnected"] == told["clients/inactive"] == "1"
    assert told["messages/stored"] == "3"
    assert told["shared_subscriptions/count"] == "1"
    assert told["retained messages/count"] == "1"
    assert told["publish/messages/dropped"] == told["clients/expired"] == "0"
    assert int(told["store/messages/bytes"]) > 3 * len("hello")


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
    assert 'edgecore_listener_port_connections{port="mqtt"} 1.0' in lines
    assert 'edgecore_listener_port_connections{port="websocket"} 0.0' in lines
    assert "edgecore_kept_sessions 0.0" in lines
    assert "edgecore_kept_expired_sessions_total 0.0" in lines
    assert "edgecore_shared_subscriptions 0.0" in lines
    assert "edgecore_retained_bytes 0.0" in lines
    assert 'edgecore_listener_acknowledgement_seconds_bucket{le="+Inf"} 0.0' in lines
    (received,) = [line for line in lines if line.startswith("edgecore_listener_received_bytes_total")]
    assert float(received.split()[1]) > 0
    # And it may have as many connections as the system lets it.
    if few_files != resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        assert site.log_lines("open files", f"limit={few_files}", "before=512")

"""The two brokers of a benchmark, each as a process of its own: the core's daemon, and Mosquitto beside it."""

from __future__ import annotations

import contextlib
import getpass
import json
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.site import Site

MOSQUITTO, EDGECORE = "mosquitto", "edgecore"
# Seconds. A start takes about one; the rest is for a machine that does other things too.
START = 30.0
STOP = 10.0

_CONFIG = """\
listener {port} 127.0.0.1
cafile {pki}/ca.pem
certfile {pki}/server.pem
keyfile {pki}/server.key
require_certificate true
allow_anonymous true
persistence false
log_dest none
set_tcp_nodelay true
# Started by root it would change to a user that cannot read the keys.
user {user}
{bounds}
"""

# The default windows (20 in flight, 1000 queued) would bound QoS 1 here, not the broker.
_BOUNDS = {
    "wide": "max_inflight_messages 256\nmax_queued_messages 200000\n",
    "default": "",
}


@dataclass(frozen=True)
class Broker:
    """A broker that takes devices. `folder`: the core's own, None for Mosquitto, which writes nothing."""

    who: str
    site: Site
    port: int
    pid: int
    folder: Path | None = None


def mosquitto_program() -> str | None:
    """Where Mosquitto is, or None when it is not installed."""
    beside = Path("/usr/sbin/mosquitto")
    return shutil.which("mosquitto") or (str(beside) if beside.exists() else None)


def raise_open_files() -> int:
    """Let this process and its children have as many descriptors as the system allows; gives how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def running(who: str, site: Site, bounds: str = "wide") -> Iterator[Broker]:
    """Run a broker that has never run before, until it takes connections."""
    folder = site.core(bounds) if who == EDGECORE else None
    with started(who, site, bounds, folder) as broker:
        wait_for_port(broker)
        yield broker


@contextlib.contextmanager
def started(who: str, site: Site, bounds: str, folder: Path | None) -> Iterator[Broker]:
    """Start a broker and do not wait for it. `folder`: of the core that is to run."""
    port = free_port()
    if folder is None:
        config = site.folder / f"mosquitto-{port}.conf"
        config.write_text(
            _CONFIG.format(port=port, pki=site.pki, user=getpass.getuser(), bounds=_BOUNDS[bounds])
        )
        command = [str(mosquitto_program()), "-c", str(config)]
        log = site.folder / f"mosquitto-{port}.log"
    else:
        command = [sys.executable, "-m", "edgecore.daemon", "--dir", str(folder)]
        command += ["--group", str(site.group), "--mqtt-port", str(port)]
        log = folder / "log"
    with log.open("ab") as output, _process(command, stdout=output, stderr=output) as process:
        try:
            yield Broker(who, site, port, process.pid, folder)
        finally:
            if process.poll() is not None:
                print(f"{who} ended by itself:\n{log.read_text()[-2000:]}", file=sys.stderr)


def free_port() -> int:
    """A port that nobody holds now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(broker: Broker) -> None:
    """Wait until the broker listens. Raises RuntimeError when it does not come to that."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", broker.port), timeout=1):
            break
        if not Path(f"/proc/{broker.pid}/exe").exists():
            raise RuntimeError(f"{broker.who} ended at once")
        time.sleep(0.02)
    else:
        raise RuntimeError(f"{broker.who} does not listen")
    if broker.folder is not None:
        _wait_for_group(broker.folder / "run" / "ports.json", deadline)


def _wait_for_group(ports: Path, deadline: float) -> None:
    """The core notes its port once all of it is up."""
    while time.monotonic() < deadline:
        if ports.exists() and json.loads(ports.read_text()):
            return
        time.sleep(0.02)
    raise RuntimeError("the core does not say that it is up")


@contextlib.contextmanager
def _process(command: list[str], **options) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP)

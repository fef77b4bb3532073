"""The case of a start: from the making of the process to the first device that is accepted, and memory at rest."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from edgecore.mqtt.packets import V311
from tests.benchmarks.brokers import EDGECORE, START, Broker, running, started, wait_for_port
from tests.benchmarks.client import connect_packet, tls_context
from tests.benchmarks.procfs import cpu_seconds, memory, wait_until_idle
from tests.benchmarks.results import Figures
from tests.benchmarks.site import Site
from tests.benchmarks.swarms import swarms

# Seconds between two tries to connect: short against a start.
TRY_AGAIN = 0.005
# Seconds after its start in which a broker comes to rest.
REST = 2.0
MIB = 1024 * 1024


def starting(who: str, site: Site, devices: int) -> Figures:
    """Start a broker that has run before, as after a boot; then its memory without and with devices."""
    folder = None
    if who == EDGECORE:
        with running(who, site, "default") as before:
            folder = before.folder
    context, packet = tls_context(site, 0), connect_packet("first", V311)
    began = time.perf_counter()
    with started(who, site, "default", folder) as broker:
        accepted = _first_accepted(broker, context, packet)
        figures = Figures({"seconds": accepted - began, "cpu": cpu_seconds(broker.pid)})
        wait_for_port(broker)
        time.sleep(REST)
        wait_until_idle(broker.pid)
        figures.values["pss"] = memory(broker.pid).pss / MIB
        with swarms(broker, 0, devices) as swarm:
            found = swarm.connect(devices, START)
            wait_until_idle(broker.pid)
            figures.values["pss_devices"] = memory(broker.pid).pss / MIB
            figures.faults += found["faults"]
    return figures


def _first_accepted(broker: Broker, context: ssl.SSLContext, packet: bytes) -> float:
    """When a device that tries again and again has its CONNACK."""
    deadline = time.perf_counter() + START
    while time.perf_counter() < deadline:
        with contextlib.suppress(OSError):  # refused, or cut in the middle of its handshake
            plain = socket.create_connection(("127.0.0.1", broker.port), timeout=START)
            with context.wrap_socket(plain, server_hostname="localhost") as device:
                device.sendall(packet)
                if device.recv(4) == b"\x20\x02\0\0":
                    return time.perf_counter()
        time.sleep(TRY_AGAIN)
    raise RuntimeError(f"{broker.who} accepted no device within {START:g} s")

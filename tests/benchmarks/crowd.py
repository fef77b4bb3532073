"""Cases with many connections: all coming back at once, all idle, and each still served."""

from __future__ import annotations

import time

from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V311, Publish
from tests.benchmarks.brokers import Broker
from tests.benchmarks.client import Client
from tests.benchmarks.procfs import cpu_seconds, memory, wait_until_idle
from tests.benchmarks.results import Figures
from tests.benchmarks.swarm import command_topic
from tests.benchmarks.swarms import Swarms, swarms

# Handshakes under way while a crowd gathers that is not to come at once.
GENTLY = 32
# Devices of one generator process when there are more than one process.
IN_ONE_PROCESS = 1_250
# Seconds after which who is not served has failed.
PATIENCE = 120.0
KIB = 1024


def reconnecting(broker: Broker, devices: int, expiry: int = 0) -> Figures:
    """All were connected, all are cut off, all come back at the same moment: until the last has its SUBACK.

    One process drives them: brokers on this machine have the other core.
    """
    with swarms(broker, 0, devices, expiry=expiry) as swarm:
        before = swarm.connect(GENTLY, PATIENCE)
        swarm.do("drop")
        swarm.do("prepare")
        wait_until_idle(broker.pid)
        spent = cpu_seconds(broker.pid)
        found = swarm.connect(devices, PATIENCE)
        spent = cpu_seconds(broker.pid) - spent
    figures = Figures(
        {
            "seconds": found["seconds"],
            "half": found["p50"],
            "cpu": spent / devices * 1e6,
            "broker_busy": spent / max(1e-9, found["seconds"]),
            "generator_busy": found["busy"],
        }
    )
    figures.faults += [*before["faults"], *found["faults"]]
    if found["served"] != devices:
        figures.faults.append(f"{found['served']} of {devices} were served in {PATIENCE:g} s")
    if expiry and found["present"] != devices:
        figures.faults.append(f"{found['present']} of {devices} found their session")
    return figures


def idle(broker: Broker, devices: int, seconds: float) -> Figures:
    """Memory of the broker for each of `devices` idle connections, CPU while they are, and a message to each."""
    processes = max(1, devices // IN_ONE_PROCESS)
    with swarms(broker, 0, devices, processes) as swarm:
        wait_until_idle(broker.pid)
        empty = memory(broker.pid)
        found = swarm.connect(GENTLY, PATIENCE)
        wait_until_idle(broker.pid)
        full, spent = memory(broker.pid), cpu_seconds(broker.pid)
        time.sleep(seconds)
        spent = cpu_seconds(broker.pid) - spent
        figures = Figures(
            {
                "connection_pss": (full.pss - empty.pss) / devices / KIB,
                "connection_private": (full.private - empty.private) / devices / KIB,
                "pss": full.pss / KIB / KIB,
                "idle_cpu": spent / seconds * 100,
            },
            list(found["faults"]),
        )
        figures.values["served"], faults = _message_to_each(broker, swarm, devices)
        figures.faults += faults
    if found["served"] != devices or figures.values["served"] != devices:
        figures.faults.append(
            f"{devices} devices: {found['served']} were served, {figures.values['served']:g} had their message"
        )
    return figures


def _message_to_each(broker: Broker, swarm: Swarms, devices: int) -> tuple[int, list[str]]:
    """Another connection publishes to each device; how many have it."""
    client = Client(broker, 0, "operator")
    for number in range(devices):
        client.socket.sendall(encode(Publish(command_topic(number), b"now", 0), V311))
    answers = swarm.do("take", within=PATIENCE)
    client.hang_up()
    client.close()
    return sum(each["took"] for each in answers), [fault for each in answers for fault in each["faults"]]

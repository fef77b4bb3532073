"""Cases of QoS 1 to persistent sessions: on the disk in edgecore, in memory in Mosquitto (persistence false)."""

from __future__ import annotations

import threading
import time

from edgecore.mqtt.packets import V5
from tests.benchmarks.brokers import Broker
from tests.benchmarks.client import Client, end
from tests.benchmarks.load import Pace, Window, batches_of
from tests.benchmarks.procfs import Meter, wait_until_idle
from tests.benchmarks.results import Figures
from tests.benchmarks.throughput import PUBLISHERS, measured, publish, receive, receiver_of

# Seconds that a session outlives its connection.
EXPIRY = 3600
# Messages in flight from all publishers together: one commit of some tenths of a millisecond serves all
# that came meanwhile, and a broker that answers from memory has no use for more.
IN_FLIGHT = 800
# Messages that publishers may be ahead of the subscriber, in sessions that hold 60,000 and more.
LEAD = 4_000
# Seconds after which messages that have not come are lost.
PATIENCE = 60.0


def live(broker: Broker, publishers: int, size: int, seconds: float) -> Figures:
    """A subscriber with a persistent session that reads; publishers send as fast as they can."""
    stop = threading.Event()
    subscriber = Client(broker, 0, "keeper", V5, EXPIRY)
    receivers = receive([subscriber], [size], 1, V5)
    sending = [Client(broker, PUBLISHERS + index, f"pub-{index}", V5) for index in range(publishers)]
    batch = max(10, IN_FLIGHT // 2 // publishers)
    threads = publish(sending, [size], batch, Pace(receivers, LEAD), stop, V5)
    figures = measured(broker, receivers, seconds)
    stop.set()
    end([*sending, subscriber], [*threads, *receivers])
    figures.faults += [each.fault for each in (*receivers, *threads) if each.fault]
    figures.faults += _not_kept(subscriber.expiry)
    _forget(broker)
    return figures


def offline(broker: Broker, count: int, size: int) -> Figures:
    """The subscriber is away while `count` messages are published, then comes back and takes them all.

    `rate`, `cpu`, `written`: until the last PUBACK. `drain`, `drain_cpu`: from the subscriber's CONNECT to
    the last message. `written_all`: bytes for each message over both.
    """
    subscriber = Client(broker, 0, "keeper", V5, EXPIRY)
    subscriber.subscribe("dt/#", 1)
    subscriber.disconnect()
    batch = IN_FLIGHT // 2
    count -= count % batch
    wait_until_idle(broker.pid)
    whole = Meter(broker.pid)
    figures = _store(broker, count, size, batch)
    figures.faults += _not_kept(subscriber.expiry)
    wait_until_idle(broker.pid)
    drained = _drain(broker, count, size)
    figures.faults += drained.faults
    figures.values["drain"] = drained.values.get("rate", 0.0)
    figures.values["drain_cpu"] = drained.values.get("cpu", 0.0)
    wait_until_idle(broker.pid)
    figures.values["written_all"] = whole.read(count)["written"]
    _forget(broker)
    return figures


def _store(broker: Broker, count: int, size: int, batch: int) -> Figures:
    client = Client(broker, PUBLISHERS, "pub-0", V5)
    window = Window(client, batches_of(0, [size], batch, V5), batch, None, threading.Event(), count // batch)
    meter = Meter(broker.pid)
    window.start()
    window.join(PATIENCE)
    figures = Figures(meter.read(count))
    end([client], [window])
    if window.fault or not window.done:
        figures.faults.append(window.fault or f"not all PUBACKs came in {PATIENCE:g} s")
    return figures


def _drain(broker: Broker, count: int, size: int) -> Figures:
    meter = Meter(broker.pid)
    subscriber = Client(broker, 0, "keeper", V5, EXPIRY)
    if not subscriber.session_present:
        subscriber.close()
        return Figures({}, ["CONNACK says that there is no session"])
    receiver = receiver_of(subscriber, [size], 1, V5)
    deadline = time.perf_counter() + PATIENCE
    while receiver.messages < count and not receiver.fault and time.perf_counter() < deadline:
        time.sleep(0.001)
    figures = Figures(meter.read(receiver.messages))
    end([subscriber], [receiver])
    if receiver.fault or receiver.messages != count:
        figures.faults.append(receiver.fault or f"{count} were acknowledged and {receiver.messages} came")
    return figures


def _not_kept(expiry: int) -> list[str]:
    return [] if expiry else ["the broker granted session expiry 0: the session was not persistent"]


def _forget(broker: Broker) -> None:
    """End the session: a clean start without expiry."""
    Client(broker, 0, "keeper", V5).disconnect()

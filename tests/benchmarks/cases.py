"""The list of cases: what `--only` chooses from, what `--help` explains, what each is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks import crowd, durable, hostile, start, throughput
from tests.benchmarks.results import Budget, Column, Figures, Table
from tests.benchmarks.stage import Scale, Stage

Run = Callable[[Stage, str], Figures]

_RATE = Column("rate", "msg/s")
_CPU = Column("cpu", "µs CPU", ".2f")
TABLES = (
    Table("throughput", "As fast as they can", (_RATE, _CPU)),
    Table(
        "paced",
        "At a pace",
        (_CPU, Column("p50", "p50 ms", ".3f"), Column("p99", "p99 ms", ".3f")),
    ),
    Table(
        "live",
        "QoS 1 to a persistent session that is connected: on disk here, in memory there",
        (_RATE, _CPU, Column("written", "bytes written/msg", ",.0f", ratio=False)),
    ),
    Table(
        "offline",
        "QoS 1 to a persistent session that is away, and its return",
        (
            Column("rate", "stored/s"),
            Column("drain", "drained/s"),
            Column("written", "bytes written/msg stored", ",.0f", ratio=False),
            Column("written_all", "and drained", ",.0f", ratio=False),
        ),
    ),
    Table(
        "reconnect",
        "All at once",
        (
            Column("seconds", "s until all are served", ".2f"),
            Column("half", "s until half are", ".2f"),
            Column("cpu", "µs CPU each"),
        ),
    ),
    Table(
        "idle",
        "Idle connections",
        (
            Column("connection_pss", "KiB each (PSS)", ".1f"),
            Column("connection_private", "KiB each (private)", ".1f", ratio=False),
            Column("pss", "MiB in all", ".1f", ratio=False),
            Column("idle_cpu", "% CPU", ".2f", ratio=False),
            Column("served", "had their message", ratio=False),
        ),
    ),
    Table(
        "hostile",
        "Beside a flooding publisher and a subscriber that reads nothing",
        (
            Column("calm_p99", "p99 ms without", ".2f"),
            Column("p99", "p99 ms with", ".2f"),
            Column("growth", "MiB grown", ".1f", ratio=False),
        ),
    ),
    Table(
        "start",
        "Start and rest",
        (
            Column("seconds", "s to the first device", ".3f", ratio=False),
            Column("cpu", "s of CPU till then", ".3f", ratio=False),
            Column("pss", "MiB at rest (PSS)", ".1f", ratio=False),
            Column("pss_devices", "with 100 devices", ".1f", ratio=False),
        ),
    ),
)


@dataclass(frozen=True)
class Case:
    """One row. `name`: for --only; `title`: in its table; `explains`: for --help; `rounds`: at most."""

    name: str
    title: str
    table: str
    explains: str
    run: Run
    budgets: tuple[Budget, ...] = ()
    rounds: int = 1_000


def cases(scale: Scale) -> list[Case]:
    """All cases at that scale, in the order of the tables."""
    return [
        *_saturated(scale),
        *_records(scale),
        *_paced(scale),
        *_persistent(scale),
        *_crowds(scale),
        *_others(scale),
    ]


def _saturated(scale: Scale) -> list[Case]:
    found = []
    for qos in (0, 1):
        budget = Budget("rate", 5 if qos == 0 else 3, at_least=True)
        for publishers, subscribers in ((1, 1), (1, 10), (20, 1)):
            for size in scale.sizes:
                shape = (publishers, subscribers, size, qos, scale.seconds)
                found.append(
                    Case(
                        f"qos{qos}-{publishers}to{subscribers}-{size}",
                        f"{publishers}→{subscribers}, {size} B, QoS {qos}",
                        "throughput",
                        f"{publishers} publisher(s) at full speed, {subscribers} subscriber(s), QoS {qos}, {size} bytes",
                        _shared(scale.devices, throughput.saturated, *shape),
                        (budget,),
                    )
                )
    return found


def _records(scale: Scale) -> list[Case]:
    """What cannot be batched, or not by its length: the ways in which real devices differ from a flood."""
    mixed = [
        Case(
            f"qos{qos}-lengths-1to1",
            f"1→1, 64 to 73 B, QoS {qos}",
            "throughput",
            f"as qos{qos}-1to1-64, but each message has another length than the one before",
            _shared(scale.devices, throughput.saturated, 1, 1, 64, qos, scale.seconds, False, 10),
        )
        for qos in (0, 1)
    ]
    return mixed + [
        Case(
            f"qos0-records-{publishers}to1",
            f"{publishers}→1, 64 B, QoS 0, one per TLS record",
            "throughput",
            "as qos0, but nothing can be batched: each PUBLISH is a TLS record of its own",
            _shared(scale.devices, throughput.saturated, publishers, 1, 64, 0, scale.seconds, True),
        )
        for publishers in (1, 20)
    ]


def _paced(scale: Scale) -> list[Case]:
    full = (Budget("cpu", 1.5, at_least=False), Budget("p99", 1.0, at_least=False))
    tenth = (Budget("p50", 1.3, at_least=False),)
    return [
        Case(
            f"paced-{rate}",
            f"{rate}/s from {scale.devices} devices, 64 B, QoS 0",
            "paced",
            f"{scale.devices} devices send {rate} messages/s in all, evenly; CPU per message and delays",
            _shared(
                scale.devices, throughput.paced, scale.devices, rate, 64, max(scale.seconds, scale.paced)
            ),
            budgets,
        )
        for rate, budgets in ((4000, full), (400, tenth))
    ]


def _persistent(scale: Scale) -> list[Case]:
    budget = Budget("rate", 1, at_least=True)
    # 200 bytes and a topic of 16, twice: DESIGN, bytes written per durable message.
    written = Budget("written", 432, at_least=False, of_peer=False)
    found = [
        Case(
            f"qos1-persistent-{publishers}to1-{size}",
            f"{publishers}→1, {size} B",
            "live",
            "QoS 1 at full speed to a session that outlives its connection (clean start 0), and is connected",
            _fresh(scale.devices, "wide", durable.live, publishers, size, scale.seconds),
            (budget, written) if size == 200 else (budget,),
        )
        for publishers in (1, 20)
        for size in scale.sizes
    ]
    count = scale.stored
    found.append(
        Case(
            "qos1-persistent-offline-200",
            f"{count:,} messages, 200 B",
            "offline",
            "the same with the subscriber away while they are published; it returns and takes them all",
            _fresh(scale.devices, "wide", durable.offline, count, 200),
            (budget, Budget("drain", 1, at_least=True), written),
        )
    )
    return found


def _crowds(scale: Scale) -> list[Case]:
    again = Budget("seconds", 1.5, at_least=False)
    each = Budget("connection_pss", 40, at_least=False, of_peer=False)
    return [
        Case(
            "reconnect",
            f"{scale.crowd:,} devices, clean sessions",
            "reconnect",
            f"{scale.crowd} connected devices are cut off and come back at the same moment (--devices)",
            _fresh(scale.crowd, "default", crowd.reconnecting, scale.crowd),
            (again,),
        ),
        Case(
            "reconnect-persistent",
            f"{scale.crowd:,} devices, persistent sessions",
            "reconnect",
            "the same with sessions that outlived the cut",
            _fresh(scale.crowd, "default", crowd.reconnecting, scale.crowd, durable.EXPIRY),
            (again,),
        ),
        Case(
            "idle",
            f"{scale.crowd:,} devices",
            "idle",
            f"memory for each of {scale.crowd} idle connections and CPU meanwhile; then a message to each",
            _fresh(scale.crowd, "default", crowd.idle, scale.crowd, scale.seconds),
            (each,),
        ),
        Case(
            "idle-multitude",
            f"{scale.multitude:,} devices",
            "idle",
            f"the same with {scale.multitude} from several processes (--multitude); one round",
            _fresh(scale.multitude, "default", crowd.idle, scale.multitude, 2 * scale.seconds),
            (each,),
            rounds=1,
        ),
    ]


def _others(scale: Scale) -> list[Case]:
    honest = min(100, scale.devices)
    return [
        Case(
            "hostile",
            f"{honest} honest devices",
            "hostile",
            f"delays of {honest} devices' messages, with and without one that floods and one that reads nothing",
            _fresh(scale.devices, "default", hostile.neighbours, honest, max(scale.seconds, scale.paced)),
        ),
        Case(
            "start",
            "a broker that has run before",
            "start",
            "from the making of the process to the first accepted device; memory at rest, without and with devices",
            lambda stage, who: start.starting(who, stage.site(honest), honest),
            (
                Budget("seconds", 1, at_least=False, of_peer=False),
                Budget("pss", 60, at_least=False, of_peer=False),
                Budget("pss_devices", 80, at_least=False, of_peer=False),
            ),
        ),
    ]


def _shared(devices: int, function: Callable[..., Figures], *arguments: object) -> Run:
    """Against brokers that serve many cases, with bounds that do not matter."""

    def run(stage: Stage, who: str) -> Figures:
        return function(stage.shared(who, devices), *arguments)

    return run


def _fresh(devices: int, bounds: str, function: Callable[..., Figures], *arguments: object) -> Run:
    """Against a broker that has just been started."""

    def run(stage: Stage, who: str) -> Figures:
        with stage.fresh(who, devices, bounds) as broker:
            return function(broker, *arguments)

    return run

"""The `[[routes]]` of a group.toml: each to a Row, and the rules that hold between rows. Pure.

Refused here, so that the router need not ask: a principal that the group lacks, `${thing}` where no device
gives it a value, a row that can never match, shadow topics from or to the cloud, and a message that would
come back from the cloud to the core that sent it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base.errors import TopicError
from edgecore.base.group import DEFAULT_PRIORITY, PRIORITIES, CameraSpec, Row
from edgecore.base.topic import bind, check_filter, check_topic, intersects
from edgecore.deployments.reading import Faults, Table, did_you_mean, show, suggest

_SHADOWS: Final = "$aws/things/+/shadow/#"
_VARIABLE: Final = re.compile(r"\$\{(.*)\}")
_VARIABLES: Final = ("thing", "target")
_SOURCES: Final = ("cloud", "shadow", "core")
_TARGETS: Final = ("cloud", "shadow")
# Where the core speaks of itself; from anybody else the router lets nothing through there.
_CORE_TOPICS: Final = ("$SYS/", "edgecore/alarm/")


@dataclass(frozen=True, slots=True)
class Principals:
    """Who may stand in a row: the names that the group declares. `cameras`: name -> record."""

    devices: Collection[str]
    functions: Collection[str]
    cameras: Mapping[str, CameraSpec]

    def sources(self) -> tuple[str, ...]:
        """Everything that may stand in `from`."""
        cameras = (f"camera:{name}" for name in self.cameras)
        return (*self._both(), *cameras, *_SOURCES)

    def targets(self) -> tuple[str, ...]:
        """Everything that may stand in `to`."""
        return (*self._both(), *_TARGETS)

    def _both(self) -> tuple[str, ...]:
        devices = (f"device:{name}" for name in self.devices)
        return ("device:*", *devices, *(f"function:{name}" for name in self.functions))


def read_rows(tables: Iterable[Table], principals: Principals) -> tuple[Row, ...]:
    """All rows, in the file's order; what is wrong with them is noted."""
    rows: list[tuple[str, Row]] = []
    for table in tables:
        row = _read_row(table, principals)
        for path, other in rows:
            if other == row:
                table.faults.add(table.path, f"the same row as {path}", "each row once")
        rows.append((table.path, row))
        _check_cloud(table, row)
    if rows:
        _check_echo(rows, table.faults)
    return tuple(row for _, row in rows)


def _read_row(table: Table, principals: Principals) -> Row:
    for key in ("from", "topic", "to"):
        table.need(key, {"topic": "a topic filter"}.get(key, "a principal"))
    sources = _read_principals(table, "from", principals.sources())
    targets = _read_targets(table, principals)
    topics = _distinct(table, "topic")
    for topic in topics:
        _check_pattern(table, "topic", topic, sources, targets)
    new_topic = table.text("as")
    if new_topic:
        _check_pattern(table, "as", new_topic, sources, targets)
    row = Row(
        sources,
        topics,
        targets,
        new_topic,
        table.whole("qos", 2, 0, 2),
        table.duration("expiry", 1.0) if table.has("expiry") else None,
        table.whole("priority", DEFAULT_PRIORITY, 0, PRIORITIES - 1),
        table.flag("ordered", default=False),
    )
    for key in ("priority", "ordered"):
        if table.has(key) and "cloud" not in targets:
            table.faults.add(
                table.at(key), "a row that does not go to the cloud", 'it only with to = "cloud"'
            )
    table.finish()
    _check_reach(table, row, principals)
    return row


def _read_targets(table: Table, principals: Principals) -> tuple[str, ...]:
    allowed = []
    for target in table.texts("to"):
        kind, _, name = target.partition(":")
        if kind == "camera" and name in principals.cameras:
            table.faults.not_yet(table.at("to"), f"a camera as target ({target})")
        elif kind == "function" and name.partition(":")[0] in principals.functions and ":" in name:
            table.faults.not_yet(table.at("to"), f"an alias as target ({target})")
        else:
            allowed.append(target)
    return _known(
        table, "to", _distinct(table, "to"), principals.targets(), set(table.texts("to")) - set(allowed)
    )


def _read_principals(table: Table, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return _known(table, key, _distinct(table, key), known, ())


def _known(
    table: Table, key: str, found: tuple[str, ...], known: tuple[str, ...], reported: Collection[str]
) -> tuple[str, ...]:
    """Those of `found` that the group has; the others are noted, unless they were reported already."""
    for principal in found:
        if principal not in known and principal not in reported:
            expected = f"a principal of this group that may stand in `{key}`"
            table.faults.add(table.at(key), show(principal), expected, _meant(principal, known))
    return tuple(principal for principal in found if principal in known)


def _meant(principal: str, known: tuple[str, ...]) -> str:
    """The hint for an unknown principal: one of the same kind first, then any."""
    kind, _, name = principal.partition(":")
    same = [other for other in known if other.startswith(f"{kind}:")]
    bare = [other for other in known if other.partition(":")[2] == principal]
    near = next(iter(bare), "") or suggest(principal, same) or suggest(principal, known)
    if near or not name:
        return did_you_mean(near)
    return f"The group has no [{kind}s.{name}]" if same or kind in ("device", "function", "camera") else ""


def _distinct(table: Table, key: str) -> tuple[str, ...]:
    texts = table.texts(key)
    for text in dict.fromkeys(texts):
        if texts.count(text) > 1:
            table.faults.add(table.at(key), f"{text!r} {texts.count(text)} times", "it once")
    return tuple(dict.fromkeys(texts))


def _check_pattern(
    table: Table, key: str, pattern: str, sources: tuple[str, ...], targets: tuple[str, ...]
) -> None:
    """Note a pattern that is no topic (`as`) or filter, or whose variables have no value."""
    expected = "a topic filter" if key == "topic" else "a topic without wildcards"
    bound = bind(pattern, thing="x", target="x")
    try:
        check_filter(bound) if key == "topic" else check_topic(bound)
    except TopicError as error:
        table.faults.add(table.at(key), show(pattern), expected, str(error))
        return
    if pattern.startswith("$share/"):
        table.faults.add(table.at(key), show(pattern), expected, "Sharing is what a client subscribes with")
    for level in pattern.split("/"):
        if "${" in level:
            _check_variable(table, key, level, sources, targets)


def _check_variable(
    table: Table, key: str, level: str, sources: tuple[str, ...], targets: tuple[str, ...]
) -> None:
    found = _VARIABLE.fullmatch(level)
    name = found.group(1) if found else ""
    if name not in _VARIABLES:
        near = suggest(name, _VARIABLES)
        hint = did_you_mean(f"${{{near}}}" if near else "")
        table.faults.add(table.at(key), show(level), "${thing} or ${target} as a whole level", hint)
        return
    pairs = [(_is_device(source), _is_device(target)) for source in sources for target in targets]
    if name == "thing" and not all(source or target for source, target in pairs):
        table.faults.add(
            table.at(key), "${thing}", "a device in `from` or in `to` of this row", "Write + for any thing"
        )
    if name == "target" and not all(source and target for source, target in pairs):
        table.faults.add(
            table.at(key), "${target}", "devices in `from` and in `to` of this row", "Use ${thing}"
        )


def _is_device(principal: str) -> bool:
    return principal.startswith("device:")


def _check_reach(table: Table, row: Row, principals: Principals) -> None:
    """Note a row that could never carry a message: a misspelt topic, most likely."""
    topics = [bind(topic) for topic in row.topics]
    if not topics:
        return
    for source in row.sources:
        place = _home(source, principals)
        if place and not any(intersects(topic, place) for topic in topics):
            expected = f"a filter that meets {place}, where {source} publishes"
            table.faults.add(table.at("topic"), show(row.topics[0]), expected)
    for topic in topics:
        for source in row.sources:
            if topic.startswith(_CORE_TOPICS) and source != "core":
                table.faults.add(table.at("from"), source, f"core, which alone publishes on {topic}")
    finals = [bind(row.as_topic)] if row.as_topic else topics
    if "shadow" in row.targets and not any(intersects(topic, _SHADOWS) for topic in finals):
        found = row.as_topic or row.topics[0]
        key = "as" if row.as_topic else "topic"
        table.faults.add(table.at(key), show(found), f"a filter that meets {_SHADOWS}, which shadow serves")


def _home(source: str, principals: Principals) -> str:
    """The filter that holds all that the source publishes, or "" when it may publish anything."""
    if source == "shadow":
        return _SHADOWS
    kind, _, name = source.partition(":")
    topic = principals.cameras[name].topic if kind == "camera" else ""
    return f"{topic}/#" if topic else ""


def _check_cloud(table: Table, row: Row) -> None:
    """Shadow topics are local: the cloud's go to shadow sync only, over an interface."""
    if {"cloud"} & {*row.sources} and "cloud" in row.targets:
        table.faults.add(
            table.at("to"), "cloud to cloud", "another target", "What came from there never goes back"
        )
    if "cloud" not in (*row.sources, *row.targets):
        return
    for key, patterns in (("topic", row.topics), ("as", (row.as_topic,) if row.as_topic else ())):
        for pattern in patterns:
            if intersects(bind(pattern), _SHADOWS):
                hint = "Shadows reach the cloud by `shadow = { sync = true }` of a device"
                table.faults.add(table.at(key), show(pattern), f"no {_SHADOWS} from or to cloud", hint)


def _check_echo(rows: list[tuple[str, Row]], faults: Faults) -> None:
    """Note what the core would send to the cloud and receive from it again."""
    for in_path, incoming in rows:
        for out_path, outgoing in rows:
            if "cloud" not in incoming.sources or "cloud" not in outgoing.targets or in_path == out_path:
                continue
            for topic in incoming.topics:
                for sent in (outgoing.as_topic,) if outgoing.as_topic else outgoing.topics:
                    if intersects(bind(topic), bind(sent)):
                        expected = f"topics that do not meet {sent!r}, which {out_path} sends to the cloud"
                        hint = "Give one of them another topic, or the row to cloud an `as`"
                        faults.add(f"{in_path}.topic", show(topic), expected, hint)

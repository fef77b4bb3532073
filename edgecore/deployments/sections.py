"""The sections [devices.X], [cameras.X] and [functions.X] of a group.toml, each to its record of base.

Each reader takes a table and notes what is wrong in its Faults; what it gives back counts only when none
were noted. Reads no file itself: whether a path is there it asks of the group's folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from edgecore.base.errors import TopicError
from edgecore.base.group import (
    DIRECTIONS,
    CameraSpec,
    DeviceSpec,
    FunctionSpec,
    Point,
    ShadowSpec,
    SyncRule,
)
from edgecore.base.identity import is_name
from edgecore.base.topic import check_topic
from edgecore.deployments.files import GroupFolder
from edgecore.deployments.reading import Faults, Table, as_fraction, did_you_mean, show, suggest

_NAME_FORM: Final = "a name of 1 to 128 of the characters a-z A-Z 0-9 : _ -"
# AWS IoT: shadow names are 1-64 of these (facts of the API's shadowName pattern).
_SHADOW_NAME: Final = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")
# A shadow that is synchronised as soon as it changes; other shadows of its thing may wait.
_AT_ONCE: Final = "0s"
# POSIX, Base Definitions 8.1, with the lower case letters that shells also take.
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a camera publishes under its topic, as far as it can be given a QoS.
_CAMERA_MESSAGES: Final = ("events", "counts", "detections", "status")
_SOURCE_KINDS: Final = ("synthetic", "folder", "file", "picamera2", "v4l2", "rtsp")
_SOURCE_FORM: Final = (
    'a source such as "synthetic:traffic", "folder:frames/", "file:clip.mp4", "picamera2", "v4l2:/dev/video0"'
)
# A bare interpreter takes about 8 MB: with less no worker could start.
_LEAST_MEMORY: Final = 10 * 1000 * 1000
# Frames closer than this are faster than any camera that the frame sources know (1,000 a second).
_LEAST_INTERVAL: Final = 0.001


def read_device(name: str, table: Table) -> DeviceSpec:
    """`[devices.NAME]`."""
    _check_name(table, name)
    thing = table.text("thing", name)
    if not is_name(thing):
        table.faults.add(table.at("thing"), show(thing), _NAME_FORM)
    attributes = table.pairs("attributes")
    shadow = _read_shadow(table.table("shadow"))
    table.finish()
    return DeviceSpec(name, thing, attributes, shadow)


def _read_shadow(table: Table | None) -> ShadowSpec:
    if table is None:
        return ShadowSpec()
    sync = table.flag("sync", default=False)
    classic = table.flag("classic", default=True)
    rule = _read_rule(table, SyncRule())
    named, rules = _read_named(table, rule)
    if not sync and not table.has("sync") and table.names():
        table.faults.add(table.path, "how to synchronise, and no `sync`", "sync = true beside it, or false")
    elif named and not sync:
        table.faults.add(table.path, "named shadows, and no sync = true", "sync = true beside `named`")
    table.finish()
    return ShadowSpec(sync, named, classic, rule, rules)


def _read_named(table: Table, rule: SyncRule) -> tuple[tuple[str, ...], dict[str, SyncRule]]:
    """A list of names, or a table of names each with what differs from the thing's own `rule`."""
    found = table.raw("named")
    if found == []:
        return (), {}
    if not isinstance(found, dict):
        return tuple(_check_shadow_names(table, table.texts("named"))), {}
    rules = {}
    for name, inner in table.each_table("named"):
        if inner.flag("sync", default=True):
            rules[name] = _read_rule(inner, rule)
        else:
            _read_rule(inner, rule)
        inner.finish()
    names = tuple(_check_shadow_names(table, rules))
    return names, {name: each for name, each in rules.items() if each != rule}


def _check_shadow_names(table: Table, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if not _SHADOW_NAME.fullmatch(name):
            table.faults.add(table.at("named"), show(name), "names of 1 to 64 of a-z A-Z 0-9 : _ - $")
        yield name


def _read_rule(table: Table, default: SyncRule) -> SyncRule:
    found = table.text("direction", default.direction)
    direction = next((each for each in DIRECTIONS if each == found), None)
    if direction is None:
        near = did_you_mean(suggest(found, DIRECTIONS))
        table.faults.add(table.at("direction"), show(found), f"one of {', '.join(DIRECTIONS)}", near)
    at_once = table.raw("every") == _AT_ONCE
    every = 0.0 if at_once else table.duration("every", default.every)
    return SyncRule(direction or default.direction, every)


def read_camera(name: str, table: Table, folder: GroupFolder) -> CameraSpec:
    """`[cameras.NAME]`."""
    _check_name(table, name)
    for key, expected in (("source", _SOURCE_FORM), ("topic", "a topic"), ("model", "an ONNX file")):
        table.need(key, expected)
    camera = CameraSpec(
        name,
        source=_read_source(table, folder),
        topic=_read_topic(table, "topic"),
        model=folder.file(table, "model"),
        every=_read_interval(table),
        threshold=table.fraction("threshold"),
        lines=dict(_read_lines(table.table("lines"))),
        privacy=tuple(_read_masks(table)),
        qos=_read_qos(table.table("qos")),
        counts_every=table.whole("counts_every", CameraSpec("", "", "", "").counts_every, 1, 1_000_000),
    )
    table.finish()
    return camera


def _read_source(table: Table, folder: GroupFolder) -> str:
    source = table.text("source")
    kind, _, rest = source.partition(":")
    if source and (kind not in _SOURCE_KINDS or (kind != "picamera2" and not rest)):
        hint = did_you_mean(suggest(kind, _SOURCE_KINDS)) if kind not in _SOURCE_KINDS else ""
        table.faults.add(table.at("source"), show(source), _SOURCE_FORM, hint)
    elif kind in ("folder", "file"):
        folder.named(table, "source", rest.partition("?")[0], f"a {kind}")
    return source


def _read_topic(table: Table, key: str) -> str:
    topic = table.text(key)
    try:
        return check_topic(topic) if topic else ""
    except TopicError as error:
        table.faults.add(table.at(key), show(topic), "a topic", str(error))
        return topic


def _read_interval(table: Table) -> float:
    every = table.duration("every", 0.1)
    if every < _LEAST_INTERVAL:
        table.faults.add(table.at("every"), show(table.raw("every")), 'a duration of "1ms" or more')
    return every


def _read_lines(table: Table | None) -> Iterator[tuple[str, tuple[Point, Point]]]:
    for name in table.names() if table else ():
        assert table is not None  # no names else
        path = table.at(name)
        if not is_name(name):
            table.faults.add(path, show(name), _NAME_FORM)
        points = _read_points(table.raw(name), path, table.faults, "two points, [[x, y], [x, y]]")
        if points is None:
            continue
        if len(points) != 2:
            table.faults.add(path, f"{len(points)} points", "two points, [[x, y], [x, y]]")
        elif points[0] == points[1]:
            table.faults.add(path, "twice the same point", "two points that differ")
        else:
            yield name, (points[0], points[1])


def _read_masks(table: Table) -> Iterator[tuple[Point, ...]]:
    for index, polygon in enumerate(table.items("privacy")):
        path = f"{table.at('privacy')}[{index}]"
        points = _read_points(polygon, path, table.faults, "a polygon, [[x, y], [x, y], [x, y], ...]")
        if points is not None and len(set(points)) < 3:
            table.faults.add(path, f"{len(set(points))} different points", "three points or more")
        elif points is not None:
            yield points


def _read_points(value: object, path: str, faults: Faults, form: str) -> tuple[Point, ...] | None:
    """The points of a list, or None when a fault was noted."""
    if not isinstance(value, list):
        faults.add(path, show(value), form)
        return None
    points = [_as_point(point) for point in value]
    for index, point in enumerate(points):
        if point is None:
            faults.add(f"{path}[{index}]", show(value[index]), "[x, y], each from 0 to 1")
    found = tuple(point for point in points if point is not None)
    return found if len(found) == len(points) else None


def _as_point(value: object) -> Point | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    x, y = as_fraction(value[0]), as_fraction(value[1])
    return None if x is None or y is None else (x, y)


def _read_qos(table: Table | None) -> dict[str, int]:
    if table is None:
        return {}
    qos = {kind: table.whole(kind, 0, 0, 2) for kind in _CAMERA_MESSAGES if table.has(kind)}
    table.finish()
    return qos


def read_function(name: str, table: Table, folder: GroupFolder) -> FunctionSpec:
    """`[functions.NAME]`."""
    _check_name(table, name)
    if ":" in name:
        table.faults.add(
            table.path, show(name), "a function's name without ':', which parts it from an alias"
        )
    table.need("source", "the folder of the function's code")
    table.need("handler", 'a handler, "FILE.FUNCTION"')
    if table.has("invoke") and table.raw("invoke") != []:
        table.faults.not_yet(table.at("invoke"), "invoke")
    table.not_yet("aliases", "secrets")
    default = FunctionSpec("", "", "")
    function = FunctionSpec(
        name,
        source=folder.folder(table, "source"),
        handler=_read_handler(table, folder),
        runtime=_read_runtime(table),
        result=_read_topic(table, "result"),
        timeout=table.duration("timeout", default.timeout),
        memory=_read_memory(table, default.memory),
        environment=_read_environment(table),
        isolation=_read_isolation(table),
        pinned=table.flag("pinned", default=default.pinned),
        credentials=table.flag("credentials", default=default.credentials),
    )
    table.finish()
    return function


def _read_handler(table: Table, folder: GroupFolder) -> str:
    """The handler as Lambda writes it: FILE.FUNCTION, or deeper, pkg.app.handler and pkg/app.handler."""
    handler = table.text("handler")
    module, _, function = handler.rpartition(".")
    parts = module.replace("/", ".").split(".")
    if handler and not all(part.isidentifier() for part in (*parts, function)):
        table.faults.add(table.at("handler"), show(handler), '"FILE.FUNCTION", such as "app.handler"')
    elif handler and table.text("source"):
        folder.module(table, "handler", table.text("source"), parts)
    return handler


def _read_runtime(table: Table) -> Literal["python"]:
    runtime = table.text("runtime", "python")
    if runtime == "provided":
        table.faults.not_yet(table.at("runtime"), '"provided"')
    elif runtime != "python":
        table.faults.add(table.at("runtime"), show(runtime), '"python"')
    return "python"


def _read_isolation(table: Table) -> Literal["none"]:
    """It must be said as long as there is no sandbox: nobody is to learn of it from an intruder."""
    table.need("isolation", '"none": there is no sandbox yet, the function can read what the core can')
    isolation = table.text("isolation", "none")
    if isolation != "none":
        table.faults.not_yet(table.at("isolation"), f'isolation other than "none" ({isolation})')
    return "none"


def _read_memory(table: Table, default: int) -> int:
    memory = table.size("memory", default)
    if memory < _LEAST_MEMORY:
        table.faults.add(table.at("memory"), show(table.raw("memory")), '"10MB" or more')
    return memory


def _read_environment(table: Table) -> dict[str, str]:
    environment = table.pairs("environment")
    for name in environment:
        if not _VARIABLE.fullmatch(name):
            table.faults.add(
                f"{table.at('environment')}.{name}", show(name), "a variable's name: A-Z a-z 0-9 _"
            )
        if "\0" in environment[name]:
            table.faults.add(
                f"{table.at('environment')}.{name}", show(environment[name]), "a text without U+0000"
            )
    return environment


def _check_name(table: Table, name: str) -> None:
    if not is_name(name):
        table.faults.add(table.path, show(name), _NAME_FORM)

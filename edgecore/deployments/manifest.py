"""group.toml to the typed records of base.group: the whole site is right, or every fault of it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgecore.base.errors import ConfigError
from edgecore.base.group import CameraSpec, DeviceSpec, Group
from edgecore.base.identity import is_name
from edgecore.deployments.files import GroupFolder
from edgecore.deployments.reading import Faults, Table, join, parse, show
from edgecore.deployments.rows import Principals, read_rows
from edgecore.deployments.sections import read_camera, read_device, read_function

FILE_NAME: Final = "group.toml"
# A thousand devices with attributes are some 200 KB; beyond this somebody named the wrong file.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


def group_folder(place: Path) -> Path:
    """The folder of the group at `place`, which is that folder or its group.toml. Raises ConfigError."""
    if place.is_dir():
        return place
    if place.name == FILE_NAME:
        return place.parent
    found = "a file of another name" if place.exists() else "nothing"
    raise ConfigError(str(place), "", found, f"a folder with a {FILE_NAME}, or that file")


def load_group(place: Path, core_thing: str = "") -> Group:
    """The group in the folder `place` (or of that group.toml).

    `core_thing`: the core's own thing name, which no device may have; "" when it is not known.
    Raises ConfigError with all faults of the file: see reading.FaultyFileError.
    """
    root = group_folder(place)
    path = root / FILE_NAME
    faults = Faults(str(path))
    group = _read(parse(_text(path), faults), GroupFolder(root))
    _check_things(group, core_thing, faults)
    _check_topics(group, faults)
    faults.raise_any()
    return group


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), "", f"no readable file ({error.strerror})", f"a {FILE_NAME}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(path), "", f"more than {MAX_FILE_BYTES} bytes", "a smaller file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"a byte that is not UTF-8 at {error.start}", "UTF-8") from error


def _read(top: Table, folder: GroupFolder) -> Group:
    top.need("group", "a table [group] with the group's name")
    name = _read_name(top.table("group"))
    devices = {name: read_device(name, table) for name, table in top.each_table("devices")}
    cameras = {name: read_camera(name, table, folder) for name, table in top.each_table("cameras")}
    functions = {name: read_function(name, table, folder) for name, table in top.each_table("functions")}
    rows = read_rows(top.list_of_tables("routes"), Principals(devices, functions, cameras))
    top.not_yet("secrets")
    top.finish()
    return Group(name, devices, cameras, functions, rows)


def _read_name(table: Table | None) -> str:
    if table is None:
        return ""
    table.need("name", "the group's name")
    name = table.text("name")
    if name and not is_name(name):
        expected = "a name of 1 to 128 of the characters a-z A-Z 0-9 : _ -"
        table.faults.add(table.at("name"), show(name), expected)
    table.finish()
    return name


def _check_things(group: Group, core_thing: str, faults: Faults) -> None:
    """Each thing stands for one device, and the core's for none."""
    holders: dict[str, DeviceSpec] = {}
    for device in group.devices.values():
        path = join(join("devices", device.name), "thing")
        other = holders.setdefault(device.thing, device)
        if other is not device:
            faults.add(path, f"{device.thing!r}, the thing of {other.name} too", "a thing of its own")
        if device.thing == core_thing:
            faults.add(path, f"{device.thing!r}, the core's own thing", "a thing of its own")


def _check_topics(group: Group, faults: Faults) -> None:
    """Each camera publishes under a topic of its own."""
    holders: dict[str, CameraSpec] = {}
    for camera in group.cameras.values():
        other = holders.setdefault(camera.topic, camera)
        if camera.topic and other is not camera:
            path = join(join("cameras", camera.name), "topic")
            faults.add(path, f"{camera.topic!r}, the topic of {other.name} too", "a topic of its own")

"""edgecore.toml to Config, and the first edgecore.toml of a new core."""

from __future__ import annotations

import functools
import json
import os
import re
import tomllib
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, Final

from edgecore.base.errors import ConfigError
from edgecore.base.identity import is_name
from edgecore.config.cloud import DEFAULT_CLOUD_PORT, Cloud, read_cloud
from edgecore.config.model import Config
from edgecore.config.paths import Paths
from edgecore.config.records import read_record
from edgecore.deployments.reading import Faults, Table, parse, show
from edgecore.uplink.settings import UplinkSettings

# A file that holds every key of the reference is 15 KB; beyond this somebody named the wrong file.
_MAX_FILE_BYTES: Final = 1024 * 1024
_NAME_FORM: Final = "a thing name of 1 to 128 of the characters a-z A-Z 0-9 : _ -"
_ENDPOINT: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]\s/]+))(?::(?P<port>[0-9]{1,5}))?"
)


def load_config(folder: Path | None = None) -> Config:
    """The settings in `folder`/edgecore.toml, or of this machine (/etc/edgecore) when it is None.

    Raises ConfigError with all faults of the file: see reading.FaultyFileError.
    """
    paths = Paths.under(folder) if folder is not None else Paths.system()
    return parse_config(_text(paths, folder), paths)


def parse_config(text: str, paths: Paths) -> Config:
    """The settings that the text of an edgecore.toml says, for a core at `paths`. Raises ConfigError."""
    faults = Faults(str(paths.config))
    top = parse(text, faults)
    top.need("thing", _NAME_FORM)
    thing = top.text("thing")
    if thing and not is_name(thing):
        faults.add("thing", show(thing), _NAME_FORM)
    uplink = _read_uplink(top, thing, paths)
    sections = {
        name: read_record(record, top.table(name), reference()[name]) for name, record in _sections().items()
    }
    top.finish()
    faults.raise_any()
    return Config(thing, paths, uplink=uplink, **sections)


@functools.cache
def reference() -> dict[str, Any]:
    """reference.toml: every section and key with its default."""
    return tomllib.loads(reference_text())


def reference_text() -> str:
    """The annotated reference, as it ships."""
    return (resources.files("edgecore.config") / "reference.toml").read_text("utf-8")


def write_initial(paths: Paths, thing: str, cloud: Cloud | None = None) -> Config:
    """Make the core's folders and its first edgecore.toml, and give what it says.

    Raises ConfigError when there is one already, the thing's name is none, or a file of `cloud` is absent.
    """
    if paths.config.exists():
        hint = "Edit it, or choose another --dir"
        raise ConfigError(str(paths.config), "", "a file", "no file: this core was initialised before", hint)
    text = _initial(thing, cloud)
    config = parse_config(text, paths)
    for file in (cloud.certificate, cloud.key, cloud.ca) if cloud else ():
        if file is not None and not file.is_file():
            raise ConfigError(str(file), "", "no file", "a certificate or key, PEM")
    for place, mode in (
        (paths.etc, 0o755),
        (paths.pki, 0o755),
        (paths.state, 0o700),
        (paths.artifacts, 0o755),
    ):
        place.mkdir(mode=mode, parents=True, exist_ok=True)
    _write(paths.config, text)
    return config


def parse_endpoint(text: str) -> tuple[str, int]:
    """(host, port) of HOST, HOST:PORT or [IPV6]:PORT. Raises ConfigError."""
    found = _ENDPOINT.fullmatch(text)
    port = int(found["port"] or DEFAULT_CLOUD_PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ConfigError(
            "--cloud", "", repr(text), "HOST or HOST:PORT, such as xyz-ats.iot.eu-west-1.amazonaws.com"
        )
    return found["v6"] or found["host"], port


def _text(paths: Paths, folder: Path | None) -> str:
    path = paths.config
    place = f" --dir {folder}" if folder is not None else ""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        hint = f"Make one: edgecore init{place} --thing NAME"
        raise ConfigError(str(path), "", "no file", "this core's settings", hint) from error
    except OSError as error:
        raise ConfigError(
            str(path), "", f"no readable file ({error.strerror})", "this core's settings"
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(str(path), "", f"more than {_MAX_FILE_BYTES} bytes", "a smaller file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"a byte that is not UTF-8 at {error.start}", "UTF-8") from error


def _sections() -> dict[str, Any]:
    """The sections that hold one room's record each: name -> the record's class."""
    return {
        field.name: field.default_factory
        for field in fields(Config)
        if field.name not in ("thing", "paths", "uplink")
    }


def _read_uplink(top: Table, thing: str, paths: Paths) -> UplinkSettings | None:
    """`[cloud]` says where and who, `[uplink]` how much may be held for it."""
    cloud = read_cloud(top.table("cloud"), paths)
    where = cloud or Cloud("unused", DEFAULT_CLOUD_PORT, Path(), Path())
    fixed = {field.name: getattr(where, field.name) for field in fields(Cloud)} | {"client_id": thing}
    settings = read_record(UplinkSettings, top.table("uplink"), reference()["uplink"], fixed)
    return settings if cloud is not None else None


def _initial(thing: str, cloud: Cloud | None) -> str:
    lines = [
        "# Settings of this machine. Every key that there is, with its default, is in",
        "# edgecore/config/reference.toml. Changes take effect at the next start.",
        "",
        f"thing = {_quoted(thing)}",
    ]
    if cloud is not None:
        lines += ["", "[cloud]", f"endpoint = {_quoted(cloud.endpoint)}", f"port = {cloud.port}"]
        named = {"certificate": cloud.certificate, "key": cloud.key, "ca": cloud.ca}
        lines += [
            f"{key} = {_quoted(str(path.absolute()))}" for key, path in named.items() if path is not None
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's (TOML 1.0, Strings)."""
    return json.dumps(text, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    """Write whole or not at all, and never over another file."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)

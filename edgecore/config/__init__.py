"""The settings of this machine (edgecore.toml): one frozen record per room, assembled.

reference.toml is documentation, defaults and test fixture in one. Names are looked up when they are first
asked for (PEP 562): a verb that needs only Paths must not load every room.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the import
if TYPE_CHECKING:
    from edgecore.config.cloud import Cloud
    from edgecore.config.load import (
        load_config,
        parse_config,
        parse_endpoint,
        reference_text,
        write_initial,
    )
    from edgecore.config.model import Config, LogSettings
    from edgecore.config.paths import Paths

__all__ = [
    "Cloud",
    "Config",
    "LogSettings",
    "Paths",
    "load_config",
    "parse_config",
    "parse_endpoint",
    "reference_text",
    "write_initial",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415  lazy, see above

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    places = {"Cloud": "cloud", "Paths": "paths", "Config": "model", "LogSettings": "model"}
    return getattr(import_module(f"{__name__}.{places.get(name, 'load')}"), name)

"""The settings of this machine: one frozen record of each room, assembled. A room adds its field here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgecore.api.settings import ApiSettings
from edgecore.config.paths import Paths
from edgecore.deployments.settings import DeploymentsSettings
from edgecore.inference.settings import InferenceSettings
from edgecore.lambdas.settings import LambdasSettings
from edgecore.listener.settings import ListenerSettings
from edgecore.shadow.settings import ShadowSettings
from edgecore.store.settings import StoreSettings
from edgecore.uplink.settings import UplinkSettings


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[log]`: the least level that is written, and how a line looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is set on this machine. `thing`: the core's own thing name.

    `uplink` is None when there is no `[cloud]`: then nothing is sent, and nothing waits for it.
    """

    thing: str
    paths: Paths
    listener: ListenerSettings = field(default_factory=ListenerSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    functions: LambdasSettings = field(default_factory=LambdasSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    deployments: DeploymentsSettings = field(default_factory=DeploymentsSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    log: LogSettings = field(default_factory=LogSettings)
    uplink: UplinkSettings | None = None

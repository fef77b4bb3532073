"""FUNCTION RUNTIME: user code in worker processes of its own, fed by routes.

Names are looked up when they are first asked for (PEP 562), because workers import this package too
(`from edgecore.lambdas import sdk`): importing the service here would load asyncio and SQLite into
every worker, which costs each cold start some 40 ms and each worker some 6 MB.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the import
if TYPE_CHECKING:
    from edgecore.lambdas.service import FunctionsService
    from edgecore.lambdas.settings import LambdasSettings

__all__ = ["FunctionsService", "LambdasSettings"]


def __getattr__(name: str) -> object:
    if name == "FunctionsService":
        from edgecore.lambdas.service import FunctionsService  # noqa: PLC0415  lazy, see above

        return FunctionsService
    if name == "LambdasSettings":
        from edgecore.lambdas.settings import LambdasSettings  # noqa: PLC0415  lazy, see above

        return LambdasSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

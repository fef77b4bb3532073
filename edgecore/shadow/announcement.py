"""What the cloud's shadow service says, read and bounded before anything is made of it. Pure.

The bounds are AWS's own. What is beyond them is no shadow: a version that no database holds, or levels that
no merge can walk, would fail later, and again each time the cloud sent it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edgecore.shadow.document import MAX_DEPTH, SECTIONS, deeper_than
from edgecore.shadow.requests import MAX_PAYLOAD

# Versions and codes: JSON's numbers are exact up to here (RFC 8259, 6), and the database's beyond it.
MAX_NUMBER: Final = 2**53 - 1
# Characters of the cloud's own words that are kept for the status and the log.
MAX_SHOWN: Final = 200


class Announcement(msgspec.Struct):
    """Any message of the cloud's shadow service, as far as it matters here."""

    state: dict[str, dict[str, Any] | None] | None = None
    version: int = 0
    code: int = 0
    message: str = ""
    clientToken: str = ""  # noqa: N815  AWS's own key


def read(payload: bytes, max_depth: int = MAX_DEPTH) -> Announcement:
    """The announcement. Raises ValueError, saying why, for what is none."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"it has {len(payload)} bytes, more than {MAX_PAYLOAD}")
    try:
        said = msgspec.json.decode(payload, type=Announcement)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not (0 <= said.version <= MAX_NUMBER and 0 <= said.code <= MAX_NUMBER):
        raise ValueError("its version or code is no number that a shadow can have")
    if any(deeper_than((said.state or {}).get(name), max_depth) for name in SECTIONS):
        raise ValueError(f"its state has more than {max_depth} levels")
    said.message = said.message[:MAX_SHOWN]
    return said

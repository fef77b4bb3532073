"""What a session needs of its connection, whatever carries it: TLS over TCP, WebSocket. No code."""

from __future__ import annotations

from typing import Protocol


class Wire(Protocol):
    """What a session needs of its connection."""

    @property
    def blocked(self) -> bool:
        """Whether the peer reads too slowly: send nothing now."""
        ...

    def send(self, data: bytes) -> None:
        """Send bytes; never raises."""
        ...

    def finish(self) -> None:
        """Close once what was sent is out."""
        ...

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading."""
        ...

"""Where a kept session's rows are, and within which bounds. Records and protocols; no code that decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from edgecore.base.commit import Commit
from edgecore.base.message import Message

Row = tuple[int, bytes, bytes | None]


class Shelf(Protocol):
    """The rows of all sessions: store.SessionStore."""

    def insert(
        self, key: int, packet_id: int, flags: int, record: bytes, extra: bytes | None
    ) -> tuple[int, Commit]:
        """Keep a row; gives its id. Ids grow. May raise RefusedError."""
        ...

    def erase(self, messages: Iterable[int]) -> Commit | None:
        """Forget rows."""
        ...

    def release(self, message: int) -> Commit:
        """Forget what a row holds, and keep its packet identifier."""
        ...

    def fetch(self, messages: Iterable[int], answer: Callable[[Sequence[Row] | Exception], None]) -> None:
        """Read rows, in order of id."""
        ...


class Permission(Protocol):
    """Whether what was stored may still be delivered."""

    @property
    def rows_version(self) -> int:
        """Grows with the routes."""
        ...

    def permits(self, message: Message) -> bool:
        """Whether the routes of now let it through."""
        ...


class Bounds(NamedTuple):
    """The most that may wait for one client. `window`: the most that was in flight at a time, ever."""

    records: int
    bytes: int
    window: int

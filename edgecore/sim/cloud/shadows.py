"""The Device Shadow service: requests in, replies out, versions and tombstones between. Pure.

A request is a payload published on `$aws/things/THING/shadow[/name/NAME]/{get,update,delete}`; the
replies are documents for the topics below the same prefix. The clock and the journal are the
caller's. Sections and texts: Device Shadow service documents, topics and error messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from edgecore.sim.cloud.documents import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    SECTIONS,
    Document,
    Json,
    depth,
    difference,
    encode,
    holds_null,
    merge,
    merge_metadata,
    size,
    stamp,
)

# Shadow error messages, "Invalid clientToken": longer than 64 bytes.
MAX_TOKEN_BYTES: Final = 64
# A new shadow continues the numbering of one that was deleted less than 48 hours before.
TOMBSTONE_SECONDS: Final = 48 * 3600

_TOPIC: Final = re.compile(
    r"\$aws/things/(?P<thing>[a-zA-Z0-9:_-]{1,128})/shadow"
    r"(?:/name/(?P<shadow>[$a-zA-Z0-9:_-]{1,64}))?/(?P<operation>get|update|delete)"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One shadow of one thing; `shadow` is "" for the classic one."""

    thing: str
    shadow: str = ""

    @property
    def prefix(self) -> str:
        """What every topic of this shadow starts with."""
        name = f"/name/{self.shadow}" if self.shadow else ""
        return f"$aws/things/{self.thing}/shadow{name}"

    @property
    def label(self) -> str:
        """How AWS names it in "No shadow exists": THING or THING~SHADOW."""
        return f"{self.thing}~{self.shadow}" if self.shadow else self.thing


@dataclass(frozen=True, slots=True)
class Reply:
    """A document that the service publishes."""

    topic: str
    document: Document

    @property
    def payload(self) -> bytes:
        """The document as bytes."""
        return encode(self.document)


@dataclass(slots=True)
class Shadow:
    """A stored shadow. `deleted_at`: epoch seconds, or None while it exists."""

    version: int = 0
    state: Document = field(default_factory=dict)
    metadata: Document = field(default_factory=dict)
    timestamp: int = 0
    deleted_at: int | None = None

    @property
    def exists(self) -> bool:
        """Whether a get would find it."""
        return self.version > 0 and self.deleted_at is None


class _RejectedError(Exception):
    """A request that is answered on .../rejected."""

    def __init__(self, code: int, message: str, token: str | None = None) -> None:
        self.code = code
        self.token = token
        super().__init__(message)


Changed = Callable[[Key, Shadow], None]


def parse_topic(topic: str) -> tuple[Key, str] | None:
    """(shadow, operation) when `topic` is one on which clients make requests, else None."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    return Key(match["thing"], match["shadow"] or ""), match["operation"]


class Shadows:
    """All shadows of the account. `changed` is told of each one that was written."""

    def __init__(self, changed: Changed) -> None:
        self._shadows: dict[Key, Shadow] = {}
        self._changed = changed

    def load(self, shadows: Iterable[tuple[Key, Shadow]]) -> None:
        """Put in what a journal kept, without telling it again."""
        self._shadows.update(shadows)

    def items(self) -> list[tuple[Key, Shadow]]:
        """Every shadow and tombstone."""
        return list(self._shadows.items())

    def restore(self, shadows: Iterable[tuple[Key, Shadow]]) -> None:
        """Become what a backup holds: shadows made since are gone, and versions are the older ones."""
        kept = dict(shadows)
        for key in self._shadows.keys() - kept.keys():
            kept[key] = Shadow()
        for key, shadow in kept.items():
            self._store(key, shadow)

    def handle(self, key: Key, operation: str, payload: bytes, now: int) -> list[Reply]:
        """Answer one request at epoch second `now`; the replies in the order in which AWS sends them."""
        act = {"get": self._get, "update": self._update, "delete": self._delete}[operation]
        try:
            return act(key, payload, now)
        except _RejectedError as rejected:
            # No timestamp: it is optional in the documentation, and a captured rejection has none.
            document: Document = {"code": rejected.code, "message": str(rejected)}
            return [Reply(f"{key.prefix}/{operation}/rejected", _with_token(document, rejected.token))]

    def _get(self, key: Key, payload: bytes, now: int) -> list[Reply]:
        token = _token(_parse(payload or b"{}"))
        shadow = self._existing(key, token)
        state = dict(shadow.state)
        delta, _ = _delta(shadow)
        if delta:
            state["delta"] = delta
        document = {
            "state": state,
            "metadata": shadow.metadata,
            "version": shadow.version,
            "timestamp": now,
        }
        return [Reply(f"{key.prefix}/get/accepted", _with_token(document, token))]

    def _delete(self, key: Key, payload: bytes, now: int) -> list[Reply]:
        request = _parse(payload or b"{}")
        token = _token(request)
        shadow = self._existing(key, token)
        _check_version(request, shadow.version, token)
        # The deletion takes a number of its own, so that a shadow made again gets version + 2.
        self._store(key, Shadow(shadow.version + 1, timestamp=now, deleted_at=now))
        document: Document = {"version": shadow.version, "timestamp": now}
        return [Reply(f"{key.prefix}/delete/accepted", _with_token(document, token))]

    def _update(self, key: Key, payload: bytes, now: int) -> list[Reply]:
        request = _parse(payload)
        token = _token(request)
        patch = _state(request, token)
        before = self._current(key, now)
        _check_version(request, before.version, token)
        after = _apply(before, patch, now)
        if size(after.state) > MAX_DOCUMENT_BYTES:
            raise _RejectedError(413, "The payload exceeds the maximum size allowed", token)
        self._store(key, after)
        return _announce(key, before, after, request, token)

    def _existing(self, key: Key, token: str | None) -> Shadow:
        shadow = self._shadows.get(key)
        if shadow is None or not shadow.exists:
            raise _RejectedError(404, f"No shadow exists with name: '{key.label}'", token)
        return shadow

    def _current(self, key: Key, now: int) -> Shadow:
        """The shadow an update starts from: the stored one, its tombstone, or nothing at version 0."""
        shadow = self._shadows.get(key)
        if shadow is None:
            return Shadow()
        if shadow.deleted_at is not None and now - shadow.deleted_at > TOMBSTONE_SECONDS:
            return Shadow()
        return shadow

    def _store(self, key: Key, shadow: Shadow) -> None:
        self._shadows[key] = shadow
        self._changed(key, shadow)


def _parse(payload: bytes) -> Document:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise _RejectedError(415, "Unsupported documented encoding; supported encoding is UTF-8") from None
    try:
        request = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _RejectedError(400, "Invalid JSON") from None
    if not isinstance(request, dict):
        raise _RejectedError(400, "Invalid JSON")
    return request


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _token(request: Document) -> str | None:
    token = request.get("clientToken")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > MAX_TOKEN_BYTES:
        raise _RejectedError(400, "Invalid clientToken")
    return token


def _state(request: Document, token: str | None) -> Document:
    """The checked state of an update, as a patch of sections; null stands for both removed."""
    if "state" not in request:
        raise _RejectedError(400, "Missing required node: state", token)
    state = request["state"]
    if state is None:
        return dict.fromkeys(SECTIONS)
    if not isinstance(state, dict):
        raise _RejectedError(400, "State node must be an object", token)
    for section, value in state.items():
        _check_section(section, value, token)
    return state


def _check_section(section: str, value: Json, token: str | None) -> None:
    if section not in SECTIONS or holds_null(value):
        raise _RejectedError(400, "State contains an invalid node", token)
    if value is not None and not isinstance(value, dict):
        raise _RejectedError(400, f"{section.capitalize()} node must be an object", token)
    if depth(value) > MAX_DEPTH:
        # The guide's text still names the limit of some years ago.
        raise _RejectedError(400, "JSON contains too many levels of nesting; maximum is 6", token)


def _check_version(request: Document, current: int, token: str | None) -> None:
    version = request.get("version")
    if version is None:
        return
    if not isinstance(version, int) or isinstance(version, bool):
        raise _RejectedError(400, "Invalid version", token)
    if version != current:
        raise _RejectedError(409, "Version conflict", token)


def _apply(before: Shadow, patch: Document, now: int) -> Shadow:
    state: Document = {}
    metadata: Document = {}
    for section in SECTIONS:
        old, old_metadata = before.state.get(section, {}), before.metadata.get(section, {})
        if section not in patch:
            new, new_metadata = old, old_metadata
        elif patch[section] is None:
            new, new_metadata = {}, {}
        else:
            new = merge(old, patch[section])
            new_metadata = merge_metadata(old_metadata, old, patch[section], now)
        if new:  # a section left empty disappears from the document
            state[section], metadata[section] = new, new_metadata
    return Shadow(before.version + 1, state, metadata, now)


def _announce(key: Key, before: Shadow, after: Shadow, request: Document, token: str | None) -> list[Reply]:
    """Documents, delta when there is one, accepted: the order seen in captured traffic."""
    now = after.timestamp
    documents: Document = {
        "previous": _half(before) if before.exists else None,
        "current": _half(after),
        "timestamp": now,
    }
    replies = [Reply(f"{key.prefix}/update/documents", _with_token(documents, token))]
    state, metadata = _delta(after)
    if state:
        delta: Document = {"version": after.version, "timestamp": now, "state": state, "metadata": metadata}
        replies.append(Reply(f"{key.prefix}/update/delta", _with_token(delta, token)))
    accepted: Document = {
        "state": request["state"],
        "metadata": stamp(request["state"], now),
        "version": after.version,
        "timestamp": now,
    }
    replies.append(Reply(f"{key.prefix}/update/accepted", _with_token(accepted, token)))
    return replies


def _half(shadow: Shadow) -> Document:
    return {"state": shadow.state, "metadata": shadow.metadata, "version": shadow.version}


def _delta(shadow: Shadow) -> tuple[Document, Document]:
    return difference(
        shadow.state.get("desired", {}), shadow.state.get("reported", {}), shadow.metadata.get("desired", {})
    )


def _with_token(document: Document, token: str | None) -> Document:
    if token is not None:
        document["clientToken"] = token
    return document

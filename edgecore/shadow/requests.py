"""Shadow requests: payload -> request; (request, document, now) -> new document and replies. Pure.

Shapes, key order and texts of the replies are those of AWS IoT, on which clients match.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edgecore.shadow.document import (
    SECTIONS,
    Document,
    JsonObject,
    deeper_than,
    null_in_array,
    pick,
    stamps,
)
from edgecore.shadow.topics import ShadowId, Verb

# AWS quotas: a publish carries at most 128 KB; a client token has at most 64 bytes.
MAX_PAYLOAD: Final = 128 * 1024
MAX_TOKEN: Final = 64
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode

INTERNAL: Final = (500, "Internal service failure")
TOO_MANY: Final = (429, "Too many shadows on this core")


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A message to publish under the shadow's prefix, as "update/accepted"."""

    suffix: str
    payload: bytes


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request that was understood. `state` is absent in get and delete."""

    verb: Verb
    token: str | None = None
    version: int | None = None
    state: JsonObject | None = None


class Rejection(Exception):  # noqa: N818  AWS's word for it: .../rejected
    """The request is refused with AWS's code and text. Stays inside the room."""

    def __init__(self, code: int, text: str, token: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.token = token


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What a request leads to. `document` is None when nothing is to be stored."""

    document: Document | None = None
    replies: tuple[Reply, ...] = ()


def carry_out(shadow: ShadowId, request: Request, document: Document, now: int, limit: int) -> Outcome:
    """Carry out a request. `now`: epoch seconds; `limit`: bytes of desired plus reported."""
    try:
        if request.verb == "update":
            return _update(request, document, now, limit)
        if request.verb == "delete":
            return _delete(shadow, request, document, now)
        return Outcome(replies=(_get(shadow, request, document, now),))
    except Rejection as refusal:
        return Outcome(replies=(rejected(request.verb, (refusal.code, refusal.text), request.token),))


def rejected(verb: Verb, reason: tuple[int, str], token: str | None) -> Reply:
    """The refusal. AWS sends no timestamp in it (captured on the wire)."""
    code, text = reason
    return _reply(f"{verb}/rejected", {"code": code, "message": text}, token)


# Understanding


def understand(verb: Verb, payload: bytes, max_depth: int) -> Request:
    """Read and check a request. `max_depth`: levels of objects in a section. Raises Rejection."""
    if len(payload) > MAX_PAYLOAD:
        raise Rejection(413, "The payload exceeds the maximum size allowed")
    if not payload and verb != "update":
        return Request(verb)
    body = _decode(payload)
    token = _token(body)
    if verb != "update":
        return Request(verb, token)
    try:
        return Request(verb, token, _version(body), _state(body, max_depth))
    except Rejection as refusal:
        refusal.token = token
        raise


def _decode(payload: bytes) -> JsonObject:
    try:
        body = _DECODE(payload.decode())
    except UnicodeDecodeError:
        raise Rejection(415, "Unsupported documented encoding; supported encoding is UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError:
        raise Rejection(400, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise Rejection(400, "Invalid JSON")
    return body


def _too_deep() -> Rejection:
    # The documented text still says 6; the quota is 8.
    return Rejection(400, "JSON contains too many levels of nesting; maximum is 6")


def _token(body: JsonObject) -> str | None:
    token = body.get("clientToken")
    if token is not None and (not isinstance(token, str) or len(token.encode()) > MAX_TOKEN):
        raise Rejection(400, "Invalid clientToken")
    return token


def _version(body: JsonObject) -> int | None:
    version = body.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
        raise Rejection(400, "Invalid version")
    return version


def _state(body: JsonObject, max_depth: int) -> JsonObject | None:
    if "state" not in body:
        raise Rejection(400, "Missing required node: state")
    state = body["state"]
    if state is None:
        return None
    if not isinstance(state, dict):
        raise Rejection(400, "State node must be an object")
    for name, section in state.items():
        if name not in SECTIONS:
            raise Rejection(400, "State contains an invalid node")
        if section is not None and not isinstance(section, dict):
            raise Rejection(400, f"{name.capitalize()} node must be an object")
        if deeper_than(section, max_depth):
            raise _too_deep()
    if null_in_array(state):
        raise Rejection(400, "State contains an invalid node")
    return state


# Carrying out


def _update(request: Request, document: Document, now: int, limit: int) -> Outcome:
    if request.version is not None and request.version != document.version:
        raise Rejection(409, "Version conflict")
    updated = document.updated(request.state, now)
    if updated.text().size > limit:
        raise Rejection(413, "The payload exceeds the maximum size allowed")
    return Outcome(updated, notices(document, updated, request, now))


def notices(previous: Document, updated: Document, request: Request, now: int) -> tuple[Reply, ...]:
    """What is published after an update, in the order seen from AWS: documents, delta, accepted."""
    replies = [_documents(previous, updated, now, request.token)]
    difference = updated.delta()
    if difference:
        body = {
            "version": updated.version,
            "timestamp": now,
            "state": difference,
            "metadata": pick(updated.metadata["desired"], difference),
        }
        replies.append(_reply("update/delta", body, request.token))
    accepted = {
        "state": request.state,
        "metadata": stamps(request.state, now),
        "version": updated.version,
        "timestamp": now,
    }
    replies.append(_reply("update/accepted", accepted, request.token))
    return tuple(replies)


def _documents(previous: Document, updated: Document, now: int, token: str | None) -> Reply:
    body = {
        "previous": None if previous.deleted else _snapshot(previous),
        "current": _snapshot(updated),
        "timestamp": now,
    }
    return _reply("update/documents", body, token)


def _snapshot(document: Document) -> JsonObject:
    text = document.text()
    return {"state": text.state, "metadata": text.metadata, "version": document.version}


def _delete(shadow: ShadowId, request: Request, document: Document, now: int) -> Outcome:
    _check_exists(shadow, document)
    return Outcome(document.removed(), (deleted(document, now, request.token),))


def deleted(previous: Document, now: int, token: str | None) -> Reply:
    """What is published after a deletion: it carries the version that was deleted."""
    return _reply("delete/accepted", {"version": previous.version, "timestamp": now}, token)


def _get(shadow: ShadowId, request: Request, document: Document, now: int) -> Reply:
    _check_exists(shadow, document)
    difference = document.delta()
    state = {**document.state, "delta": difference} if difference else document.state
    # The guide's example shows metadata.delta; the service does not send it (captured on the wire).
    body = {"state": state, "metadata": document.metadata, "version": document.version, "timestamp": now}
    return _reply("get/accepted", body, request.token)


def _check_exists(shadow: ShadowId, document: Document) -> None:
    if document.deleted:
        raise Rejection(404, f"No shadow exists with name: '{shadow}'")


def _reply(suffix: str, body: dict[str, Any], token: str | None) -> Reply:
    if token is not None:
        body["clientToken"] = token
    return Reply(suffix, _ENCODE(body))

"""How the shadow verbs speak with the shadow room: AWS's request topics, as the operator or as a device."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

from edgecore.base.errors import EdgecoreError, UnavailableError
from edgecore.cli.control import TIMEOUT, Control
from edgecore.cli.output import say
from edgecore.shadow.topics import ShadowId, Verb

if TYPE_CHECKING:
    from edgecore.cli.mqtt_client import DeviceClient

Document = dict[str, Any]

# What to do about a rejection, by its code (Device Shadow error messages).
HINTS: Final[Mapping[int, str]] = {
    404: "those that there are: `edgecore shadow list`",
    409: "somebody else was faster: get the shadow, and update from its version",
    413: "desired and reported together are above [shadow] document_bytes",
    429: "wait a little, or raise [shadow] max_documents in edgecore.toml",
}


class ShadowRejectedError(EdgecoreError):
    """The shadow room rejected a request."""

    def __init__(self, shadow: ShadowId, verb: Verb, code: int, text: str) -> None:
        hint = HINTS.get(code, "")
        said = f"{verb} of shadow {shadow} was rejected: {code} {text}"
        super().__init__(f"{said}\n{hint}" if hint else said)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the shadow room."""

    topic: str
    payload: bytes


class Line(Protocol):
    """A way to the core."""

    def hear(self, filters: Sequence[str], *, patience: float | None) -> Generator[Heard | None, None, None]:
        """Messages on the filters: None once they are granted, then each as it comes.

        Raises UnavailableError when there is none for `patience` seconds.
        """
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1."""
        ...


class OperatorLine:
    """The control socket."""

    def __init__(self, socket: Path) -> None:
        self._control = Control(socket)

    def hear(self, filters: Sequence[str], *, patience: float | None) -> Generator[Heard | None, None, None]:
        """See Line."""
        query = urlencode([*(("filter", each) for each in filters), ("qos", 1)])
        with closing(self._control.stream(f"/subscribe?{query}", patience)) as lines:
            for line in lines:
                if not line:
                    yield None
                elif "dropped" in line:
                    say(f"{line['dropped']} messages dropped: this terminal is too slow for them")
                else:
                    yield Heard(str(line["topic"]), base64.b64decode(str(line["payload"])))

    def publish(self, topic: str, payload: bytes) -> None:
        """See Line."""
        body = {"topic": topic, "payload": base64.b64encode(payload).decode(), "qos": 1}
        self._control.post("/publish", body)


class DeviceLine:
    """A device's own session: it reaches its own shadows and no others."""

    def __init__(self, client: DeviceClient) -> None:
        self._client = client

    def hear(self, filters: Sequence[str], *, patience: float | None) -> Generator[Heard | None, None, None]:
        """See Line."""
        self._client.subscribe(filters, 1)
        yield None
        for message in self._client.messages(patience):
            yield Heard(message.topic, bytes(message.payload))

    def publish(self, topic: str, payload: bytes) -> None:
        """See Line."""
        self._client.publish(topic, payload, 1, retain=False)


def ask(line: Line, shadow: ShadowId, verb: Verb, body: Document) -> Document:
    """Make a request; gives what was accepted. Raises ShadowRejectedError, UnavailableError."""
    token = secrets.token_hex(8)
    request = json.dumps({**body, "clientToken": token}).encode()
    answers = [shadow.topic(f"{verb}/{outcome}") for outcome in ("accepted", "rejected")]
    deadline = time.monotonic() + TIMEOUT
    with closing(line.hear(answers, patience=TIMEOUT)) as heard:
        for each in heard:
            if each is None:
                line.publish(shadow.topic(verb), request)
                continue
            document: Document = json.loads(each.payload)
            if document.get("clientToken") != token:
                if time.monotonic() > deadline:
                    break  # a busy shadow: others are answered all the time
                continue
            if each.topic.endswith("/rejected"):
                raise ShadowRejectedError(shadow, verb, document["code"], document["message"])
            return document
    raise UnavailableError(f"shadow {shadow}: no answer to {verb}: is the core stopping?")


def watch(line: Line, thing: str, name: str | None) -> Iterator[tuple[ShadowId, Document | None]]:
    """Each change of the shadows of a thing ("+": of all), or of one of them (`name`, "" the classic one).

    Gives the shadow and AWS's `documents` message, or None where it was deleted.
    """
    names = ["", "+"] if name is None else [name]
    shadows = [ShadowId(thing, each) for each in names]
    kinds = ("update/documents", "delete/accepted")
    filters = [each.topic(kind) for each in shadows for kind in kinds]
    for heard in line.hear(filters, patience=None):
        if heard is None:
            say("watching")
            continue
        levels = heard.topic.split("/")
        shadow = ShadowId(levels[2], levels[5] if levels[4] == "name" else "")
        yield shadow, None if levels[-2] == "delete" else json.loads(heard.payload)

"""Messages that were set aside, in words: what `edgecore outbox` prints. Pure but for the printing."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from edgecore.base.shown import one_line
from edgecore.cli.output import console, say

Answer = Mapping[str, Any]


def print_list(messages: Sequence[Answer]) -> None:
    """A line for each message."""
    if not messages:
        say("nothing is set aside: the cloud took, or may still take, all that was sent to it")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("id", "topic", "bytes", "set aside", "reason"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for each in messages:
        cells = (each["id"], each["topic"], str(each["bytes"]), _moment(each["time"]), each["reason"])
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console().print(table)


def as_object(answer: Answer, payload: bytes) -> dict[str, Any]:
    """A message with its payload as text where it is text, as base64 where it is not."""
    known = {key: value for key, value in answer.items() if key != "payload"}
    try:
        return {**known, "payload": payload.decode()}
    except UnicodeDecodeError:
        return {**known, "payload_base64": base64.b64encode(payload).decode()}


def details(message: Answer) -> Iterator[str]:
    """All about a message but its payload, a line for each."""
    yield f"topic     {one_line(message['topic'])}"
    if message["sender"]:  # else it cannot be read
        yield f"from      {message['sender']}, QoS {message['qos']}, {_moment(message['came_at'])}"
    yield f"set aside {_moment(message['time'])}: {one_line(message['reason'])}"


def _moment(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"

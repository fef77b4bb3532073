"""What a unit says beside its state, in the words of whoever runs a site. Pure.

Nought is left out: a line is for what is there and for what is wrong. Every figure stands in --json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

Own = Mapping[str, object]

_KINDS: Final = (("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000))


def words_of(name: str, own: Own) -> list[str] | None:
    """The phrases for the unit of that name; None for one that has none of its own."""
    say = _PHRASES.get(name)
    return None if say is None else [phrase for phrase in say(own) if phrase]


def _listener(own: Own) -> Iterator[str]:
    if port := _number(own, "port"):
        yield f"port {port}"
    yield _text(own, "other_ports")
    yield _connected(_number(own, "connected"), own.get("devices"))
    yield from _kept(_table(own, "kept"))
    yield _count(_number(own, "passwords_waiting"), "password being checked", "passwords being checked")
    yield _reasons(own, "refused", "refused")
    yield _slow(_number(own, "dropped"))


def _connected(clients: int, devices: object) -> str:
    """A device may have several connections, each with a client id of its own."""
    if isinstance(devices, list) and 0 < len(devices) < clients:
        return f"{clients:,} clients of {_count(len(devices), 'device')} connected"
    return f"{_count(clients, 'device') or 'no device'} connected"


def _kept(kept: Own) -> Iterator[str]:
    if sessions := _number(kept, "sessions"):
        away, waiting = _number(kept, "away"), _number(kept, "queued")
        yield (
            f"{_count(sessions, 'session')} kept"
            + (f" ({away:,} away)" if away else "")
            + (f" with {_waiting(waiting)} ({_size(_number(kept, 'bytes'))})" if waiting else "")
        )
    yield _reasons(kept, "dropped", "kept messages given up")


def _waiting(number: int) -> str:
    return _count(number, "message that waits", "messages that wait")


def _router(own: Own) -> Iterator[str]:
    yield _count(_number(own, "published"), "message published", "messages published")
    yield _count(_number(own, "delivered"), "delivery", "deliveries")
    yield _count(_sum(_table(own, "denied")), "denied: no route", "denied: no route")
    yield _reasons(own, "refused", "refused")
    subscriptions, shared = _number(own, "subscriptions"), _number(own, "shared_subscriptions")
    yield _count(subscriptions, "subscription") + (f" ({shared} shared)" if shared else "")
    yield _count(_number(own, "retained"), "message retained", "messages retained")


def _store(own: Own) -> Iterator[str]:
    yield _count(_number(own, "commits"), "commit")
    yield _count(_number(own, "waiting"), "write waits", "writes wait")
    yield "the disk is full" if own.get("disk_full") else ""
    yield _count(_number(own, "refused"), "write refused", "writes refused")
    yield _count(_number(own, "failed"), "write failed", "writes failed")
    yield _card(_table(own, "card"))
    for file, rows in _table(own, "salvaged").items():
        salvaged = _sum(rows) if isinstance(rows, Mapping) else 0
        yield f"{file}: {salvaged:,} rows salvaged"


def _card(card: Own) -> str:
    """What the card is written, and how long it will stand that."""
    if not (a_year := _number(card, "per_year")):
        return ""
    years = card.get("card_years")
    lasts = f": the card lasts {years:,g} years" if isinstance(years, int | float) else ""
    return f"writes {_size(a_year)} a year{lasts}"


def _shadow(own: Own) -> Iterator[str]:
    yield _count(_number(own, "documents"), "shadow")
    yield _count(_number(own, "pending"), "not yet synced", "not yet synced")
    yield _count(_number(own, "conflicts"), "conflict settled", "conflicts settled")
    yield _count(_number(own, "ignored"), "request ignored", "requests ignored")
    yield from (f"{name}: {problem}" for name, problem in _table(own, "problems").items())


def _uplink(own: Own) -> Iterator[str]:
    state = _text(own, "state")
    cause = _text(own, "cause")
    yield (
        f"connected to {own.get('endpoint')}"
        if own.get("connected")
        else f"{state}: {cause}"
        if cause
        else state
    )
    yield _text(own, "reason")
    lines = own.get("lines")
    if isinstance(lines, list):
        up = sum(bool(line.get("connected")) for line in lines)
        yield f"{up} of {len(lines)} connections up"
    outbox = _table(own, "outbox")
    if waiting := _number(outbox, "records"):
        yield f"outbox {_count(waiting, 'message')} ({_size(_number(outbox, 'bytes'))})"
    yield "the outbox drops messages" if outbox.get("alarm") is not None else ""
    yield "looking for the message at which the cloud hangs up" if outbox.get("probing") else ""
    yield _count(_number(outbox, "sent"), "sent", "sent")
    aside = "refused there and set aside: edgecore outbox list"
    yield _count(_number(outbox, "set_aside"), aside, aside)
    yield _reasons(own, "dropped", "dropped")
    yield _reasons(outbox, "dropped", "dropped")
    yield _count(_number(_table(own, "inbound"), "received"), "received", "received")
    yield _count(_number(own, "sessions_lost"), "session lost there", "sessions lost there")


def _deployments(own: Own) -> Iterator[str]:
    state, number = _text(own, "state"), _number(own, "active")
    yield {"active": "", "none": "no group"}.get(state, state)
    if number:
        yield f"deployment {number} of group {own.get('group')}, origin {own.get('origin')}"
    yield _text(own, "refused")
    if failure := _text(own, "last_failure"):
        yield f"the last that failed: {failure}"


def _api(own: Own) -> Iterator[str]:
    yield _count(_number(own, "requests"), "request")
    yield _count(_number(own, "feeds"), "watching", "watching")
    yield _slow(_number(own, "dropped"))


def _sys(own: Own) -> Iterator[str]:
    interval = own.get("interval")
    if not isinstance(interval, int | float) or not interval:
        yield "switched off by sys_interval"
    else:
        yield f"{_number(own, 'topics')} topics on $SYS/broker, every {interval:g} s"


def _health(own: Own) -> Iterator[str]:
    yield _count(_number(own, "checks"), "check")
    interval = own.get("interval")
    yield f"every {interval:g} s" if isinstance(interval, int | float) else ""


_PHRASES: Final[Mapping[str, Callable[[Own], Iterator[str]]]] = {
    "api": _api,
    "deployments": _deployments,
    "health": _health,
    "listener": _listener,
    "router": _router,
    "shadow": _shadow,
    "store": _store,
    "sys": _sys,
    "uplink": _uplink,
}


# What values are in words ---------------------------------------------------------------------------


def _number(own: Own, key: str) -> int:
    value = own.get(key)
    return value if isinstance(value, int) else 0


def _text(own: Own, key: str) -> str:
    value = own.get(key)
    return value if isinstance(value, str) else ""


def _table(own: Own, key: str) -> Own:
    value = own.get(key)
    return value if isinstance(value, Mapping) else {}


def _sum(table: Own) -> int:
    return sum(value for value in table.values() if isinstance(value, int))


def _count(number: int, one: str, many: str = "") -> str:
    """`1 message`, `1,200 messages`, or "" for none."""
    if not number:
        return ""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _slow(dropped: int) -> str:
    return _count(dropped, "message dropped for slow receivers", "messages dropped for slow receivers")


def _reasons(own: Own, key: str, what: str) -> str:
    """`3 refused (connect 2, handshake 1)`."""
    counts = {reason: count for reason, count in _table(own, key).items() if isinstance(count, int) and count}
    if not counts:
        return ""
    shown = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    return f"{_sum(counts):,} {what} ({shown})"


def _size(number: int) -> str:
    """Bytes as edgecore.toml writes them, in thousands."""
    for unit, factor in _KINDS:
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number} bytes"

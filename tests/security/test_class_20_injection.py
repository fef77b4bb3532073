"""Class 20: what devices say is shown to people (XSS, log injection, steering of a terminal).

There is no page in this project yet. What there is: the control API over a socket for its owner alone, logs, the
Prometheus text, and verbs that print to a terminal. Topics, payloads, client ids, names and reasons go through
each of them as they are meant: the same text for a program, and nothing but text for a person.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import unicodedata
from urllib.parse import quote

import aiohttp
import pytest
from listening import House
from prometheus_client.parser import text_string_to_metric_families

from edgecore.api import ApiService, ApiSettings
from edgecore.api.metrics import exposition
from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, OutboxError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.interfaces import AsideOutcome, DeviceRecord, Receipt, SetAside, ShadowSummary
from edgecore.base.message import Message
from edgecore.cli import device_words, status, sub
from edgecore.cli.output import emit_json, say
from edgecore.daemon.logs import logging_to
from edgecore.listener.credential import NotIdentifiedError
from edgecore.listener.password_credential import PasswordCredential
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import encode
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.router import Router
from edgecore.uplink.client import Incoming
from edgecore.uplink.inbound import Inbound

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"quoted\" 'single' \\back `tick` ${x} {{7*7}} %s %n {0}",
    "two\nlines",
    "\r\n2026-01-01T00:00:00.000+00:00 error edgecore.store: the disk burns",
    "\n<0>emerg kernel: panic",
    "\n  indented",
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "\x9b31m\x85\x7f",
    "\u202egnp.exe\u2066\u200f\u061c",
    "\u2028\u2029\ufeff",
    '"} 1\nedgecore_fake{x="',
    "[bold red]markup[/] [link=http://example.com]x[/link]",
]
EACH = pytest.mark.parametrize("evil", EVIL)
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def steering(text):
    """The characters of a text that do something to who reads it, but for line ends and tabs."""
    return {each for each in text if unicodedata.category(each) in STEERING} - {"\n", "\t"}


# The API --------------------------------------------------------------------------------------------


class Devices:
    def __init__(self, name):
        self._record = DeviceRecord(name, 5.0, ())

    def records(self):
        return (self._record,)

    def rotation(self):
        return None

    def record(self, name):
        raise CertificateError(f"no device {name}")

    async def add(self, name, csr=b"", *, certificate=b"", days=0):
        raise CertificateError(f"found device name {name}")


class Statuses:
    def __init__(self, evil):
        self.answer = {evil: {"state": "broken", "reason": evil, "status": {evil: {evil: evil}}}}

    def statuses(self):
        return self.answer


class Shadows:
    def __init__(self, evil):
        self._summary = ShadowSummary("thing", "", 1, 2, evil)

    def shadows(self):
        return [self._summary]


class Aside:
    """An outbox whose cloud says `evil` of a message."""

    def __init__(self, evil):
        self._one = SetAside(evil, 5.0, f"t/{evil}", evil.encode(), "1-1", sender="device:one")

    async def set_aside(self, _after, _limit):
        return [self._one]

    async def find_aside(self, name):
        if name != "1-1":
            raise OutboxError(f"no message {name}")
        return self._one

    async def retry_aside(self, _names):
        return AsideOutcome(0, {"1-1": self._one.reason})

    drop_aside = retry_aside


class Passwords:
    def __init__(self, evil):
        self._names = (evil,)

    def names(self):
        return self._names


@contextlib.asynccontextmanager
async def window(folder, evil):
    """(the router, a client) of a control API whose every room says `evil`."""
    bus = Router(ManualClock())
    service = ApiService(
        ApiSettings(),
        bus,
        Devices(evil),
        Passwords(evil),
        Statuses(evil),
        Shadows(evil),
        lambda: Aside(evil),
        folder / "run",
        ManualClock(),
    )
    ready = asyncio.Event()
    task = asyncio.create_task(service.run(ready.set))
    try:
        async with asyncio.timeout(10):
            await ready.wait()
        connector = aiohttp.UnixConnector(str(folder / "run" / "control.sock"))
        async with aiohttp.ClientSession("http://core", connector=connector) as client:
            yield bus, client
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def is_json(response):
    return response.headers["Content-Type"] == "application/json; charset=utf-8"


@EACH
async def test_class_20_the_api_says_what_it_was_told_and_nothing_but_json(tmp_path, evil):
    async with window(tmp_path, evil) as (_, client):
        async with client.get("/status") as response:
            assert is_json(response)
            unit = (await response.json())["units"][evil]
            assert (unit["reason"], unit["status"]) == (evil, {evil: {evil: evil}})
        async with client.get("/devices") as response:
            assert is_json(response)
            assert (await response.json())["devices"][0]["name"] == evil
        async with client.get("/shadows") as response:
            assert is_json(response)
            assert (await response.json())["shadows"][0]["cloud"] == evil
        async with client.get("/outbox/aside") as response:
            assert is_json(response)
            assert (await response.json())["messages"][0]["reason"] == evil
        async with client.post("/outbox/aside/retry", json={"all": True}) as response:
            assert (await response.json())["left"] == {"1-1": evil}
        async with client.get("/passwords") as response:
            assert (await response.json())["devices"] == [evil]


@EACH
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/{}", None),
        ("DELETE", "/status", None),
        ("GET", "/devices/{}", None),
        ("GET", "/outbox/aside/{}", None),
        ("GET", "/outbox/aside?limit={}", None),
        ("POST", "/outbox/aside/drop", {"{}": True}),
        ("POST", "/devices", {"name": "{}"}),
        ("POST", "/publish", {"topic": "{}/#"}),
        ("POST", "/publish", {"topic": "t", "{}": 1}),
        ("POST", "/publish", "{}"),
        ("GET", "/subscribe?filter={}%23x", None),
        ("GET", "/subscribe?qos={}", None),
    ],
)
async def test_class_20_errors_of_the_api_are_json_whatever_they_quote(tmp_path, method, path, body, evil):
    filled = json.loads(json.dumps(body).replace("{}", json.dumps(evil)[1:-1]))
    target = path.replace("{}", quote(evil, safe=""))
    async with window(tmp_path, evil) as (_, client):
        headers = {"Accept": "text/html"}
        async with client.request(method, target, json=filled, headers=headers) as response:
            assert 400 <= response.status < 500
            assert is_json(response)
            assert set(await response.json()) == {"error", "hint"}


async def test_class_20_what_is_no_request_is_quoted_as_plain_text(tmp_path):
    async with window(tmp_path, ""):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "run" / "control.sock"))
        writer.write(b"<script>alert(1)</script> / HTTP/9.9\r\nAccept: text/html\r\n\r\n")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.0 400")
        assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in answer


def message(topic, text):
    return Message(topic, text.encode(), 0, identity.device("one"))


def topic_of(evil):
    """A topic name may hold anything but wildcards."""
    return f"t/{evil}".replace("#", "").replace("+", "")


@EACH
async def test_class_20_the_feed_is_one_line_of_json_for_each_message(tmp_path, evil):
    async with window(tmp_path, "") as (bus, client):
        bus.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], {"one": DeviceSpec("one", "one")})
        async with client.get("/subscribe", params={"filter": "#"}) as response:
            assert response.headers["Content-Type"] == "application/x-ndjson"
            for topic in (topic_of(evil), "t/next"):
                bus.publish(message(topic, evil))
            async with asyncio.timeout(10):
                lines = [json.loads(await response.content.readline()) for _ in range(2)]
    assert [line["topic"] for line in lines] == [topic_of(evil), "t/next"]
    assert {base64.b64decode(line["payload"]).decode() for line in lines} == {evil}


@EACH
def test_class_20_labels_of_the_figures(evil):
    unit = {"state": "running", "status": {"denied": {evil: 3}, "refused": {evil: 4, "other": 5}}}
    text = exposition({"router": unit, evil: {"state": "running"}}).decode()
    values = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("edgecore_")
        assert "fake" not in family.name
        for sample in family.samples:
            values[sample.name, *sample.labels.values()] = sample.value
    assert values["edgecore_unit_up", evil] == 1
    assert values["edgecore_messages_refused_total", evil] == 4
    assert values["edgecore_messages_refused_total", "other"] == 5


# Logs -----------------------------------------------------------------------------------------------


class Verifier:
    """Lets nobody in, and says so at once."""

    def verify(self, name, password, address, answer):
        answer(NotIdentifiedError(ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"who is {name}"))


class Full:
    """A bus whose every queue is full."""

    def publish(self, message):
        return Receipt(allowed=True, refused="full")


def say_it_everywhere(evil):
    """Let the rooms log what a peer said, each in its own way; gives how many records that are."""
    house = House()
    # A denied publish, as the assembly lets the router tell of it.
    tell = logging.getLogger("edgecore.router").warning
    bus = Router(house.clock, tell=lambda text: tell("%s", text))
    bus.publish(message(topic_of(evil), evil))
    # A CONNECT and a PUBLISH that cannot be, a user name that nobody has.
    house.peer(lambda wire: house.session("one", wire)).send(p.Connect(evil + "x" * 2000, 5))
    house.device("two", client_id=evil).send(p.Publish(topic_of(evil) + "/+", b""))
    session = house.session("three")
    session._credential = session._entering._credential = PasswordCredential(None, Verifier(), "192.0.2.1")
    session.data(encode(p.Connect("c", 5, username=evil, password=b"x"), 5), 0.0)
    # A message from the cloud that nobody takes.
    inbound = Inbound(Full(), None, house.clock)
    inbound.take(Incoming(topic_of(evil), b"", 1, None, None, lambda: None))
    # What an operator and a function's own print pass on as it is.
    logging.getLogger("edgecore.api").info("operator subscribed operator=%s filters=%s", "root", evil)
    logging.getLogger("edgecore.lambdas").error("%s", evil)
    return 7


@EACH
@pytest.mark.parametrize("journal", [True, False], ids=["journal", "terminal"])
def test_class_20_no_record_of_the_log_begins_another(evil, journal):
    out = io.StringIO()
    with logging_to(out, "info", "text", journal=journal):
        number = say_it_everywhere(evil)
    text = out.getvalue()
    assert steering(text) == set()
    lines = text.splitlines()
    begun = [line for line in lines if not line.removeprefix(line[:3] if journal else "").startswith("  ")]
    assert len(begun) == number, text
    for line in begun:
        assert line[:3] in {"<3>", "<4>", "<6>"} if journal else line[10] == "T"
    assert "\n<0>" not in text


@EACH
def test_class_20_records_in_json_are_one_line_each(evil):
    out = io.StringIO()
    with logging_to(out, "info", "json", journal=False):
        number = say_it_everywhere(evil)
    text = out.getvalue()
    assert steering(text) == set()
    records = [json.loads(line) for line in text.splitlines()]
    assert len(records) == number
    assert records[-1]["message"] == evil


@EACH
def test_class_20_a_trace_is_part_of_its_record(evil):
    out = io.StringIO()
    with logging_to(out, "info", "text", journal=False):
        try:
            raise ValueError(evil)  # noqa: TRY301  a trace is the subject
        except ValueError:
            logging.getLogger("edgecore.x").exception("failed")
    text = out.getvalue()
    assert steering(text) == set()
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


# A terminal -----------------------------------------------------------------------------------------


@EACH
def test_class_20_messages_in_a_terminal(evil, capsys):
    messages = [sub.Seen(f"t/{evil}", evil.encode(), 0, False, evil), sub.Seen("t", b"next", 0, False)]
    sub._show(messages, None, as_json=False)
    shown = capsys.readouterr().out
    assert steering(shown) == set()
    assert len(shown.splitlines()) == 2
    sub._show(messages, None, as_json=True)
    shown = capsys.readouterr().out
    assert steering(shown) == set()
    first, second = [json.loads(line) for line in shown.split("\n")[:-1]]
    assert (first["topic"], first["payload"], first["sender"]) == (f"t/{evil}", evil, evil)
    assert second["payload"] == "next"


@EACH
def test_class_20_a_status_in_a_terminal(evil, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1500")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    units = {
        evil: {"state": "broken", "reason": evil, "since": 0.0},
        "uplink": {"state": "running", "status": {"state": "offline", "reason": evil}},
        "shadow": {"state": "running", "status": {"problems": {evil: evil}}},
        "x": {"state": evil, "status": {evil: 3, "reason": evil, "parts": {evil: {"state": evil}}}},
    }
    status._table(units, 10.0)
    shown = capsys.readouterr().out
    assert steering(shown) == set()
    assert len(shown.splitlines()) == 5
    if "markup" in evil:
        assert "[bold red]markup[/]" in shown  # as text, and not as colour
    emit_json({"units": units})
    shown = capsys.readouterr().out
    assert steering(shown) == set()
    assert json.loads(shown) == {"units": units}


@EACH
def test_class_20_devices_in_a_terminal(evil, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1500")
    device = {"name": evil, "fingerprints": [], "revoked": [], "added_at": 0.0, "certificates": []}
    device_words.print_list({"devices": [device], "rotation": {"waiting": [evil]}})
    device_words.print_device(device, 0.0)
    say(f"edgecore: {evil}")
    captured = capsys.readouterr()
    assert steering(captured.out) == steering(captured.err) == set()
    assert len(captured.out.splitlines()) == 3 + evil.replace("\r", "").count("\n")

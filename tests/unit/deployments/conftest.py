from __future__ import annotations

import asyncio

import pytest

from edgecore.base.group import NO_GROUP
from edgecore.store import Database

SITE = """
[group]
name = "junction-7"

[devices.loop-north]
attributes = { lane = "north" }
shadow = { sync = true, named = ["config"] }

[devices.loop-south]

[cameras.north]
source = "synthetic:traffic"
topic = "junction/north"
model = "models/traffic.onnx"
every = "100ms"
lines = { stop-line = [[0.0, 0.65], [1.0, 0.65]] }
privacy = [[[0.0, 0.0], [1.0, 0.0], [1.0, 0.12], [0.0, 0.12]]]

[functions.signal-timing]
isolation = "none"
source = "functions/signal_timing"
handler = "app.handler"
runtime = "python"
result = "junction/north/timing"
timeout = "3s"
memory = "64MB"
environment = { CYCLE = "90" }
invoke = []

[[routes]]
from = "camera:north"
topic = "junction/north/counts"
to = "function:signal-timing"

[[routes]]
from = "function:signal-timing"
topic = "junction/+/timing"
to = ["device:loop-north", "cloud"]

[[routes]]
from = "function:signal-timing"
topic = "$aws/things/loop-north/shadow/#"
to = "shadow"

[[routes]]
from = "device:*"
topic = "dt/${thing}/#"
to = "cloud"

[[routes]]
from = "cloud"
topic = "cmd/${thing}/#"
to = "device:*"
"""


class Folder:
    """A group's folder that tests write to."""

    def __init__(self, root):
        self.root = root
        self.write("group.toml", SITE)
        self.write("models/traffic.onnx", "model")
        self.write("functions/signal_timing/app.py", "def handler(event, context): ...\n")

    def write(self, path, text):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return self

    def change(self, old, new):
        """Write the site's file with one part replaced."""
        assert old in SITE
        return self.write("group.toml", SITE.replace(old, new, 1))

    def rename(self, name):
        """Give the group another name: the least that changes its digest."""
        return self.change("junction-7", name)

    def add(self, text):
        """Write the site's file with more at its end."""
        return self.write("group.toml", SITE + text)


@pytest.fixture
def site(tmp_path):
    """The folder of a whole group that is right."""
    return Folder(tmp_path / "junction")


class Units:
    """Stands in for the supervisor's units. `failing` groups raise, `hanging` ones never come up."""

    def __init__(self, active=NO_GROUP):
        self.current = active
        self.calls = []
        self.failing = set()
        self.hanging = set()
        self.trying = asyncio.Event()

    async def activate(self, active, units):
        self.calls.append((active.group.name, tuple(units)))
        self.current = active
        self.trying.set()
        if active.group.name in self.hanging:
            await asyncio.Event().wait()
        if active.group.name in self.failing:
            raise RuntimeError(f"{active.group.name} does not come up")

    def active(self):
        return self.current


@pytest.fixture
def units():
    return Units()


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "db.sqlite") as db:
        yield db

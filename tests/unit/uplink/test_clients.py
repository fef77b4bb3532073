import subprocess
import sys
from pathlib import Path

from edgecore.uplink import aws, bridge
from edgecore.uplink.clients import open_client
from edgecore.uplink.settings import UplinkSettings


async def test_the_broker_decides(monkeypatch):
    opened = []

    def noting(name):
        async def note(settings, events):
            opened.append((name, settings.broker, events))
            return name

        return note

    monkeypatch.setattr(aws, "open_client", noting("aws"))
    monkeypatch.setattr(bridge, "open_bridge", noting("bridge"))
    for broker in ("aws", "mqtt"):
        settings = UplinkSettings("h", Path("c"), Path("k"), "core", broker=broker)
        assert await open_client(settings, "events") == opened[-1][0]
    assert opened == [("aws", "aws", "events"), ("bridge", "mqtt", "events")]


def test_who_needs_no_bridge_does_not_load_paho():
    code = "import sys, edgecore.uplink; sys.exit('paho' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Which client speaks with the broker: awsiotsdk's with AWS IoT Core, paho's with any other."""

from __future__ import annotations

import importlib

from edgecore.uplink import aws
from edgecore.uplink.client import ClientEvents, CloudClient
from edgecore.uplink.settings import UplinkSettings


async def open_client(settings: UplinkSettings, events: ClientEvents) -> CloudClient:
    """A client of the broker that `settings` name, not connected. Raises as its adapter does."""
    if settings.broker == "aws":
        return await aws.open_client(settings, events)
    # Only here: a core that has no such broker does not pay for paho.
    bridge = importlib.import_module("edgecore.uplink.bridge")
    client: CloudClient = await bridge.open_bridge(settings, events)
    return client

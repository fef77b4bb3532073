"""BACK DOOR: the durable way to AWS IoT Core and back.

Knows MQTT topics, routes and the outbox; must not know devices, functions or what a shadow holds.
"""

from edgecore.uplink.credentials import RoleCredentials
from edgecore.uplink.link import Link
from edgecore.uplink.service import UplinkService
from edgecore.uplink.settings import UplinkSettings

__all__ = ["Link", "RoleCredentials", "UplinkService", "UplinkSettings"]

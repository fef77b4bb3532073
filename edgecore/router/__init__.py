"""THE CORRIDOR: who may send what to whom, and the delivery of it. Pure and synchronous.

Knows Principals, Messages and rows; knows no MQTT packets, sockets, disks, clocks or tasks.
"""

from edgecore.router.plan import Delivery, Plan, SharedDelivery
from edgecore.router.router import Router

__all__ = ["Delivery", "Plan", "Router", "SharedDelivery"]

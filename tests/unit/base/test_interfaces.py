from edgecore.base.clock import ManualClock
from edgecore.base.interfaces import Bus, Receipt
from edgecore.router import Router


def test_the_router_is_a_bus():
    bus: Bus = Router(ManualClock())
    assert {name for name in dir(Bus) if not name.startswith("_")} <= set(dir(bus))


def test_a_receipt_waits_for_nothing_unless_told():
    assert Receipt(allowed=True).commits == ()

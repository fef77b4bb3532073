import pytest

from edgecore.base.group import ShadowSpec, SyncRule
from edgecore.base.identity import SHADOW
from edgecore.shadow.service import synced_rules
from edgecore.shadow.topics import ShadowId
from edgecore.store import durable


def test_which_shadows_are_synchronised_and_how():
    slow, up = SyncRule(every=60.0), SyncRule("deviceToCloud")
    specs = {
        "a": ShadowSpec(sync=True, named=("x", "y"), rule=slow, rules={"y": up}),
        "b": ShadowSpec(named=("z",)),
        "c": ShadowSpec(sync=True, named=("z",), classic=False),
    }
    assert synced_rules(specs) == {
        ShadowId("a"): slow,
        ShadowId("a", "x"): slow,
        ShadowId("a", "y"): up,
        ShadowId("c", "z"): SyncRule(),
    }


async def test_it_attaches_and_detaches(house):
    assert house.bus.attached["shadow"] is house.service
    assert house.service.principal is SHADOW
    await house.stop()
    assert house.bus.attached == {}
    await house.start()


async def test_status(house):
    await durable(house.bus.send("$aws/things/other/shadow/update", {"state": {"reported": {"a": 1}}}))
    house.bus.send("$aws/things/other/shadow/update/accepted", b"{}")
    assert house.service.status() == {
        "documents": 1,
        "ignored": 1,
        "link": "down",
        "synced": 2,
        "pending": 0,
        "last_synced": None,
        "conflicts": 0,
        "unreadable": 0,
        "problems": {},
    }
    await durable(house.bus.send("$aws/things/t/shadow/update", {"state": {"reported": {"a": 1}}}))
    assert house.service.status()["pending"] == 1


async def test_topics_are_remembered_within_a_bound(house, monkeypatch):
    monkeypatch.setattr("edgecore.shadow.service.MAX_KNOWN", 3)
    for n in (1, 2, 3, 4, 1, 4):
        for verb in ("get", "update/accepted"):
            house.bus.send(f"$aws/things/other/shadow/name/n{n}/{verb}", b"")
        assert 1 <= len(house.service._known) <= 3
    await house.until(lambda: len(house.bus.heard("get/rejected")) == 6)
    assert house.service.status()["ignored"] == 6


async def test_tables_that_cannot_be_read_are_an_error(db, house_of):
    from edgecore.base.errors import StoreError

    await durable(db.write(lambda c: c.execute("CREATE TABLE shadow_documents (x)")))
    house = house_of(db)
    with pytest.raises(StoreError):
        await house.start()

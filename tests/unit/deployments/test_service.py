from __future__ import annotations

import asyncio

import pytest
from running import running

from edgecore.base.clock import ManualClock
from edgecore.base.errors import ConfigError, DeploymentError
from edgecore.base.group import NO_GROUP
from edgecore.deployments import DeploymentsService, DeploymentsSettings, check_local, restore
from edgecore.deployments.journal import Journal
from edgecore.store import durable


@pytest.fixture
def make(db, units, tmp_path):
    def make(local=None, force=False, **settings):
        return DeploymentsService(
            DeploymentsSettings(**settings),
            db,
            units,
            tmp_path / "artifacts",
            local,
            force=force,
            clock=ManualClock(),
        )

    return make


async def test_without_a_group(make, units):
    async with running(make()) as service:
        assert service.status() == {
            "state": "none",
            "active": 0,
            "origin": "",
            "digest": "",
            "group": "",
            "running": 0,
            "history": 0,
            "last_failure": "",
            "refused": "",
        }
    assert units.calls == []


async def test_a_local_group_is_deployed_once(make, site, units):
    async with running(make(site.root)) as service:
        status = service.status()
        assert (status["state"], status["active"], status["origin"]) == ("active", 1, "local")
        assert (status["group"], status["running"], status["history"]) == ("junction-7", 1, 1)
    async with running(make(site.root / "group.toml")) as service:
        assert service.status()["active"] == 1
    assert len(units.calls) == 1
    async with running(make(site.rename("other").root)) as service:
        assert (service.status()["active"], service.status()["group"]) == (2, "other")


async def test_before_it_ran_the_status_says_so(make):
    assert make().status()["state"] == "activating"


async def test_the_group_is_restored_without_a_local_one(make, site, units, db, tmp_path):
    async with running(make(site.root)):
        active = units.active()
    units.current = await restore(db, tmp_path / "artifacts")
    assert units.current == active
    async with running(make()) as service:
        assert service.status()["active"] == 1


async def test_a_group_that_fails_is_reported_and_not_tried_again(make, site, units):
    units.failing = {"junction-7"}
    async with running(make(site.root)) as service:
        assert service.status()["last_failure"] == "activate: junction-7 does not come up"
        assert service.status()["state"] == "none"
    assert units.active() == NO_GROUP
    units.failing = set()
    async with running(make(site.root)) as service:
        assert "it failed before" in service.status()["refused"]
        assert service.status()["state"] == "none"
    async with running(make(site.root, force=True)) as service:
        assert (service.status()["active"], service.status()["refused"]) == (2, "")


async def test_a_group_that_became_wrong_leaves_the_service_running(make, site):
    service = make(site.change("app.handler", "no.handler").root)
    async with running(service):
        assert "functions.signal-timing.handler" in service.status()["last_failure"]
    async with running(make(site.root / "absent")) as service:
        assert "expected a folder with a group.toml" in service.status()["last_failure"]


async def test_an_operator_s_deployment_is_not_overridden(make, site, db, units):
    async with running(make(site.root)):
        pass
    await durable(
        db.write(lambda connection: connection.execute("UPDATE deployments SET origin = 'operator'"))
    )
    site.rename("other")
    async with running(make(site.root)) as service:
        assert "--force overrides it" in service.status()["refused"]
        assert (service.status()["active"], service.status()["origin"]) == (1, "operator")
    async with running(make(site.root, force=True)) as service:
        assert (service.status()["active"], service.status()["origin"]) == (2, "local")


async def test_what_a_crash_interrupted_is_ended_first(make, site, units, db):
    units.hanging = {"junction-7"}
    task = asyncio.create_task(make(site.root).run(lambda: None))
    async with asyncio.timeout(10):
        await units.trying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    units.hanging = set()
    units.current = NO_GROUP
    async with running(make()) as service:
        assert (service.status()["active"], service.status()["state"]) == (1, "active")


async def test_old_folders_are_removed_and_the_running_one_stays(make, site, units, tmp_path):
    digests = []
    for number in range(4):
        async with running(make(site.rename(f"group-{number}").root, keep=2)) as service:
            digests.append(service.status()["digest"])
    assert {path.name for path in (tmp_path / "artifacts").iterdir()} == set(digests[-2:])


async def test_a_slow_activation_does_not_hold_the_others_back(make, site, units, monkeypatch):
    monkeypatch.setattr("edgecore.deployments.service._READY_AFTER", 0.01)
    units.hanging = {"junction-7"}
    async with running(make(site.root)) as service:
        assert service.status()["state"] == "activating"


async def test_a_store_that_breaks_ends_the_service(make, monkeypatch):
    async def broken(_):
        raise OSError("no journal")

    monkeypatch.setattr(Journal, "open", broken)
    with pytest.raises(ExceptionGroup) as error:
        await make().run(lambda: None)
    assert error.group_contains(OSError, match="no journal")


def test_what_main_checks_before_anything_starts(site):
    assert check_local(site.root).name == "junction-7"
    assert check_local(site.root / "group.toml", "core").name == "junction-7"
    with pytest.raises(ConfigError, match="the core's own thing"):
        check_local(site.root, "loop-north")
    with pytest.raises(DeploymentError, match="more than 1 files"):
        check_local(site.root, settings=DeploymentsSettings(max_files=1))

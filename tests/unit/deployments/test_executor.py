from __future__ import annotations

import asyncio
import shutil

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import ConfigError, DeploymentError
from edgecore.base.group import NO_GROUP
from edgecore.deployments import artifacts
from edgecore.deployments.executor import MAX_ATTEMPTS, Executor, restore
from edgecore.deployments.journal import Journal
from edgecore.deployments.settings import DeploymentsSettings

ALL = ("shadow", "lambdas", "inference", "uplink")
SETTINGS = DeploymentsSettings(activation_timeout=0.05)


@pytest.fixture
async def journal(db):
    journal = Journal(db)
    await journal.open()
    return journal


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "artifacts"


@pytest.fixture
def executor(journal, units, folder):
    return Executor(journal, units, folder, SETTINGS, ManualClock(1000.0))


async def deploy(executor, site, origin="local"):
    digest = await asyncio.to_thread(artifacts.digest_of, site.root, SETTINGS)
    await executor.deploy(site.root, digest, origin)
    return digest


async def states(journal):
    return [(row.number, row.state) for row in reversed(await journal.history(99))]


async def test_a_group_becomes_active(executor, site, units, journal, folder):
    digest = await deploy(executor, site)
    assert units.calls == [("junction-7", ALL)]
    active = units.active()
    assert (active.deployment, active.digest, active.root) == (1, digest, folder / digest)
    assert active.group.functions["signal-timing"].source == "functions/signal_timing"
    row = await journal.active()
    assert (row.number, row.digest, row.attempts, row.changed_at) == (1, digest, 1, 1000.0)


async def test_the_next_one_replaces_only_what_changed(executor, site, units, journal):
    await deploy(executor, site)
    await deploy(executor, site.rename("named-anew"))
    await deploy(executor, site.write("functions/signal_timing/app.py", "# new"))
    assert units.calls[1:] == [("named-anew", ()), ("named-anew", ("lambdas",))]
    assert await states(journal) == [(1, "superseded"), (2, "superseded"), (3, "active")]


async def test_the_first_that_does_not_come_up_leaves_no_group(executor, site, units, journal):
    units.failing = {"junction-7"}
    with pytest.raises(DeploymentError, match="activate: junction-7 does not come up"):
        await deploy(executor, site)
    assert units.active() == NO_GROUP
    assert units.calls == [("junction-7", ALL), ("", ALL)]
    assert await states(journal) == [(1, "failed")]


async def test_one_that_does_not_come_up_leaves_the_former_running(executor, site, units, journal):
    first = await deploy(executor, site)
    units.failing = {"bad"}
    with pytest.raises(DeploymentError):
        await deploy(executor, site.rename("bad").write("models/traffic.onnx", "m2"))
    assert units.active().digest == first
    assert units.calls[1:] == [("bad", ("inference",)), ("junction-7", ("inference",))]
    assert await states(journal) == [(1, "active"), (2, "failed")]
    assert (await journal.history(1))[0].reason == "bad does not come up"


async def test_one_that_hangs_is_ended(executor, site, units, journal):
    await deploy(executor, site)
    units.hanging = {"slow"}
    with pytest.raises(DeploymentError, match=r"not every unit was ready after 0\.05 s"):
        await deploy(executor, site.rename("slow"))
    assert units.active().group.name == "junction-7"


async def test_when_nothing_comes_back_both_reasons_are_kept(executor, site, units, journal):
    await deploy(executor, site)
    units.failing = {"bad", "junction-7"}
    with pytest.raises(DeploymentError):
        await deploy(executor, site.rename("bad"))
    reason = (await journal.history(1))[0].reason
    assert (
        reason
        == "bad does not come up; the former group did not come back either: junction-7 does not come up"
    )


async def test_a_folder_that_cannot_be_taken_is_in_the_journal(executor, site, units, journal):
    with pytest.raises(DeploymentError, match="changed while"):
        await executor.deploy(site.root, "0" * 64, "local")
    with pytest.raises(ConfigError):
        await deploy(executor, site.change("app.handler", "nothing.handler"))
    assert await states(journal) == [(1, "failed"), (2, "failed")]
    assert units.calls == []


# After a crash


async def interrupted(executor, site, journal, units, kill_at):
    """Deploy, and end the executor while it is at the step `kill_at`."""
    units.hanging = {"junction-7"}
    if kill_at == "staged":
        digest = await asyncio.to_thread(artifacts.digest_of, site.root, SETTINGS)
        await asyncio.to_thread(artifacts.stage, site.root, executor._artifacts, digest, SETTINGS)
        await journal.add("local", digest, "staged", 0.0)
    else:
        task = asyncio.create_task(deploy(executor, site))
        await units.trying.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    units.hanging = set()
    units.current = NO_GROUP
    units.calls.clear()


@pytest.mark.parametrize("kill_at", ["staged", "activating"])
async def test_an_interrupted_deployment_is_brought_to_its_end(executor, site, units, journal, kill_at):
    await interrupted(executor, site, journal, units, kill_at)
    assert await states(journal) == [(1, kill_at)]
    await executor.finish()
    assert await states(journal) == [(1, "active")]
    assert units.calls == [("junction-7", ALL)]
    await executor.finish()
    assert len(units.calls) == 1


async def test_one_that_ends_the_core_again_and_again_fails(executor, site, units, journal):
    await interrupted(executor, site, journal, units, "activating")
    for _ in range(MAX_ATTEMPTS - 1):
        await journal.begin(1, 0.0)
    await executor.finish()
    (row,) = await journal.history(1)
    assert (row.state, row.reason) == ("failed", "the core ended 3 times while activating it")
    assert units.calls == []


async def test_an_interrupted_one_without_its_folder_fails(executor, site, units, journal, folder):
    await interrupted(executor, site, journal, units, "staged")
    await asyncio.to_thread(shutil.rmtree, folder)
    await executor.finish()
    assert await states(journal) == [(1, "failed")]
    assert units.calls == []


async def test_of_several_interrupted_ones_the_newest_counts(executor, site, units, journal):
    await journal.add("local", "0" * 64, "staged", 0.0)
    digest = await asyncio.to_thread(artifacts.digest_of, site.root, SETTINGS)
    await asyncio.to_thread(artifacts.stage, site.root, executor._artifacts, digest, SETTINGS)
    await journal.add("local", digest, "staged", 0.0)
    await executor.finish()
    assert await states(journal) == [(1, "failed"), (2, "active")]


async def test_nothing_interrupted(executor, journal, units):
    await executor.finish()
    assert await states(journal) == []
    assert units.calls == []


# Restoring


async def test_restoring_gives_the_active_group(executor, site, units, journal, folder):
    assert await restore(journal, folder) == NO_GROUP
    await deploy(executor, site)
    await deploy(executor, site.rename("second"))
    assert await restore(journal, folder) == units.active()


async def test_restoring_goes_back_when_the_folder_is_damaged(executor, site, journal, folder, caplog):
    await deploy(executor, site)
    digest = await deploy(executor, site.rename("second"))
    (folder / digest / "group.toml").write_text("torn")
    restored = await restore(journal, folder)
    assert (restored.group.name, restored.deployment) == ("junction-7", 1)
    assert "deployment=2" in caplog.text

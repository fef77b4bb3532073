"""Programs in processes of their own. Real ones: `edgecore --version` and `edgecore sim cloud`."""

import asyncio
import os
import signal

import pytest

from edgecore.sim.processes import Child, DemonstrationError, command, read_note, until, verb


async def nothing():
    return None


async def test_a_verb_gives_what_it_prints():
    assert (await verb("--version")).startswith("edgecore ")


async def test_a_verb_that_fails_is_quoted():
    with pytest.raises(DemonstrationError, match=r"(?s)`edgecore dance` ended with exit code 2: .*dance"):
        await verb("dance")


async def test_a_verb_that_does_not_end_is_ended(tmp_path):
    with pytest.raises(DemonstrationError, match=r"did not end within 0\.5 s"):
        await verb("sim", "cloud", "--dir", str(tmp_path), within=0.5)


async def running_cloud(folder):
    child = await Child.start("the cloud", folder / "log", "sim", "cloud", "--dir", str(folder))

    async def look():
        return await asyncio.to_thread(read_note, folder / "cloud.json")

    assert await until("its port", 20, look, child) is not None
    return child


async def test_a_child_is_ended_in_order_and_its_words_are_kept(tmp_path):
    child = await running_cloud(tmp_path)
    await child.check()
    assert child.running
    assert await child.stop(10) in (0, -signal.SIGTERM)
    assert "client.stop()" in await child.last_words()  # the end of the program that it prints
    assert await child.stop(10) == await child.ended()
    with pytest.raises(DemonstrationError, match="the cloud ended with exit code"):
        await child.check()


async def test_a_child_can_be_killed_twice(tmp_path):
    child = await running_cloud(tmp_path)
    assert await child.kill() == -signal.SIGKILL
    assert await child.kill() == -signal.SIGKILL


async def test_a_child_that_does_not_end_is_killed(tmp_path):
    child = await running_cloud(tmp_path)
    os.kill(child.pid, signal.SIGSTOP)  # it cannot even take the signal
    assert await child.stop(0.1) < 0
    assert not child.running


async def test_waiting_ends_with_the_child_that_is_needed(tmp_path):
    child = await Child.start("the verb", tmp_path / "log", "dance")
    with pytest.raises(DemonstrationError, match=r"(?s)the verb ended with exit code 2: .*dance"):
        await until("a dance", 20, nothing, child)


async def test_waiting_ends_at_its_deadline():
    with pytest.raises(DemonstrationError, match=r"^a dance: not within 0\.1 s$"):
        await until("a dance", 0.1, nothing)


def test_a_note_is_read_once_it_is_there(tmp_path):
    assert read_note(tmp_path / "note") is None
    (tmp_path / "note").write_text('{"pid": 7}')
    assert read_note(tmp_path / "note") == {"pid": 7}


def test_verbs_run_with_this_interpreter():
    assert command("run")[1:] == ("-m", "edgecore", "run")

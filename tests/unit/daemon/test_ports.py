import asyncio
import json
import os

import pytest

from edgecore.daemon.ports import Announced


class Door:
    def __init__(self, error=None):
        self.ports = {"mqtt": 4321, "websocket": 4322}
        self.error = error
        self.end = asyncio.Event()

    async def run(self, ready):
        if self.error:
            raise self.error
        ready()
        await self.end.wait()

    def status(self):
        return {"sessions": 2}


async def until_ready(service):
    ready = asyncio.Event()
    task = asyncio.create_task(service.run(ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    return task


async def test_the_ports_can_be_read_while_the_door_is_open(tmp_path):
    path = tmp_path / "ports.json"
    task = await until_ready(Announced(Door(), path))
    assert json.loads(path.read_text()) == {"mqtt": 4321, "websocket": 4322, "pid": os.getpid()}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not path.exists()


async def test_a_door_that_cannot_open_announces_nothing(tmp_path):
    path = tmp_path / "ports.json"
    with pytest.raises(ExceptionGroup) as caught:
        await Announced(Door(OSError("port in use")), path).run(lambda: None)
    assert str(caught.value.exceptions[0]) == "port in use"
    assert not path.exists()


async def test_a_door_that_closes_by_itself_ends_the_service(tmp_path):
    door = Door()
    task = await until_ready(Announced(door, tmp_path / "ports.json"))
    door.end.set()
    async with asyncio.timeout(5):
        await task


def test_the_status_is_the_doors(tmp_path):
    async def status():
        return Announced(Door(), tmp_path / "ports.json").status()

    assert asyncio.run(status()) == {"sessions": 2}

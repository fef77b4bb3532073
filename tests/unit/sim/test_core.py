"""A core's folder and its doors. Running daemons are in tests/scenarios."""

import json

import pytest
from aiohttp import web

from edgecore.sim.core import Core
from edgecore.sim.processes import DemonstrationError


@pytest.fixture
def core(tmp_path):
    (tmp_path / "core" / "run").mkdir(parents=True)
    return Core(tmp_path / "core", tmp_path / "certs", tmp_path / "log")


def test_certificates_are_where_device_add_put_them(core, tmp_path):
    found = core.credentials("loop-1")
    assert (found.certificate.name, found.key.name) == ("loop-1.cert.pem", "loop-1.key.pem")
    assert found.ca == tmp_path / "certs" / "ca.pem"


async def test_a_core_that_was_not_started_says_so(core):
    with pytest.raises(DemonstrationError, match="the core was not started"):
        _ = core.child
    assert await core.status() is None
    assert await core.stop() == 0


async def test_settings_are_added_to_what_init_wrote(core):
    file = core.folder / "edgecore.toml"
    file.write_text('thing = "x"\n')
    await core.configure("[uplink]\n")
    assert file.read_text() == 'thing = "x"\n\n[uplink]\n'


async def test_its_status_is_what_the_control_socket_says(core):
    async def status(_request):
        return web.json_response({"units": {"store": {"state": "running"}}})

    app = web.Application()
    app.add_routes([web.get("/status", status)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(core.control_socket)).start()
    try:
        assert await core.status() == json.loads('{"units": {"store": {"state": "running"}}}')
    finally:
        await runner.cleanup()

"""The simulated cloud as a process of its own."""

import pytest

from edgecore.base.errors import EdgecoreError
from edgecore.sim.simcloud import CloudControl, SimulatedCloud


async def test_it_listens_with_certificates_for_its_things_until_it_is_stopped(tmp_path):
    cloud = SimulatedCloud(tmp_path / "cloud", tmp_path / "log", ["observer", "lamp"])
    assert await cloud.stop() is None  # nothing to stop yet
    await cloud.start()
    assert cloud.endpoint.port > 0
    for thing in ("observer", "lamp"):
        assert cloud.credentials(thing).certificate.name == f"{thing}.cert.pem"
        assert cloud.credentials(thing).key.is_file()
    await cloud.stop()


def test_a_core_is_told_where_it_is_and_how_to_prove_itself(tmp_path):
    options = SimulatedCloud(tmp_path, tmp_path / "log", []).options_for(1234)
    assert options == (
        *("--cloud", "localhost:1234"),
        *("--cloud-cert", str(tmp_path / "core.cert.pem")),
        *("--cloud-key", str(tmp_path / "core.key.pem")),
        *("--cloud-ca", str(tmp_path / "ca.pem")),
    )


async def test_it_is_broken_and_steered_through_its_control_door(tmp_path):
    cloud = SimulatedCloud(tmp_path / "cloud", tmp_path / "log", ["lamp"], ["--limits"])
    await cloud.start()
    try:
        assert cloud.https.port not in (0, cloud.endpoint.port)
        await cloud.control.fault("slow", 0.01)
        await cloud.control.fault("deny", "iot:Publish=topic/x")
        assert (await cloud.control.status())["faults"] == {"slow": 0.01, "deny": ["iot:Publish=topic/x"]}
        await cloud.control.heal("slow")
        await cloud.control.heal()
        assert (await cloud.control.status())["faults"] == {}
        with pytest.raises(EdgecoreError, match="no backup was made"):
            await cloud.control.restore()
        await cloud.control.backup()
        await cloud.control.restore()
        await cloud.control.read_policies()
        await cloud.control.create_job("one", {"do": "it"}, ["lamp"])
        await cloud.control.cancel_job("one", force=True)
        assert (await cloud.control.job("one"))["status"] == "CANCELED"
    finally:
        await cloud.stop()
    with pytest.raises(EdgecoreError, match="no simulated cloud answers there"):
        await CloudControl(tmp_path / "cloud").status()

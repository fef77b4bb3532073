"""The simulated cloud as a process of its own."""

from edgecore.sim.simcloud import SimulatedCloud


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

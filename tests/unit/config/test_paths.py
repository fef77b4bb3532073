from __future__ import annotations

from pathlib import Path

from edgecore.config import Paths


def test_a_core_under_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths.under(Path("d"))
    d = tmp_path / "d"
    assert (paths.config, paths.pki, paths.artifacts) == (d / "edgecore.toml", d / "pki", d / "artifacts")
    assert (paths.database, paths.registry, paths.lock) == (
        d / "state/edgecore.sqlite",
        d / "state/registry.sqlite",
        d / "state/lock",
    )
    assert (paths.control, paths.ports) == (d / "run/control.sock", d / "run/ports.json")
    assert not d.exists()


def test_the_core_of_this_machine():
    paths = Paths.system()
    assert paths.config == Path("/etc/edgecore/edgecore.toml")
    assert paths.state == Path("/var/lib/edgecore/state")
    assert paths.run == Path("/run/edgecore")

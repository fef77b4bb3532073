from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgecore.base.errors import DeploymentError
from edgecore.deployments import load_group
from edgecore.deployments.artifacts import digest_of, parts_of, scan, stage, sweep
from edgecore.deployments.settings import DeploymentsSettings

SETTINGS = DeploymentsSettings()


def names(folder):
    return [path.name for path in folder.iterdir()]


def staged(site, artifacts):
    return stage(site.root, artifacts, digest_of(site.root, SETTINGS), SETTINGS)


def test_a_folder_is_copied_under_its_digest(site, tmp_path):
    site.write("functions/signal_timing/run.sh", "#!/bin/sh\n")
    (site.root / "functions/signal_timing/run.sh").chmod(0o755)
    place = staged(site, tmp_path / "artifacts")
    assert place.name == digest_of(site.root, SETTINGS) == digest_of(place, SETTINGS)
    assert scan(place, SETTINGS) == scan(site.root, SETTINGS)
    assert stat.S_IMODE((place / "functions/signal_timing/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((place / "group.toml").stat().st_mode) == 0o644
    assert names(tmp_path / "artifacts") == [place.name]


def test_the_second_copy_is_the_first(site, tmp_path):
    first = staged(site, tmp_path / "artifacts")
    before = first.stat().st_mtime_ns
    assert staged(site, tmp_path / "artifacts") == first
    assert first.stat().st_mtime_ns == before


def test_caches_and_hidden_files_are_no_part(site, tmp_path):
    before = digest_of(site.root, SETTINGS)
    site.write("functions/signal_timing/__pycache__/app.pyc", "x").write(".git/HEAD", "x").write(".env", "x")
    assert digest_of(site.root, SETTINGS) == before
    place = staged(site, tmp_path / "artifacts")
    assert {path.name for path in place.iterdir()} == {"group.toml", "models", "functions"}


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "models/traffic.onnx").write_text("mode2"),
        lambda root: (root / "models/traffic.onnx").rename(root / "models/traffic2.onnx"),
        lambda root: (root / "models/traffic.onnx").chmod(0o755),
        lambda root: (root / "new").write_text(""),
    ],
)
def test_every_change_changes_the_digest(site, change):
    before = digest_of(site.root, SETTINGS)
    change(site.root)
    assert digest_of(site.root, SETTINGS) != before


def test_content_cannot_move_between_files_unseen(tmp_path):
    for name, first, second in (("x", "ab", "c"), ("y", "a", "bc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_text(first)
        (tmp_path / name / "2").write_text(second)
    assert digest_of(tmp_path / "x", SETTINGS) != digest_of(tmp_path / "y", SETTINGS)


def test_links_and_pipes_are_refused(site):
    link = site.root / "models/link"
    link.symlink_to("/etc/passwd")
    with pytest.raises(DeploymentError, match="models/link is a symbolic link"):
        digest_of(site.root, SETTINGS)
    link.unlink()
    os.mkfifo(link)
    with pytest.raises(DeploymentError, match="no regular file"):
        digest_of(site.root, SETTINGS)


def test_bounds(site):
    with pytest.raises(DeploymentError, match="more than 2 files"):
        scan(site.root, DeploymentsSettings(max_files=2))
    with pytest.raises(DeploymentError, match="more than 10 bytes"):
        scan(site.root, DeploymentsSettings(max_bytes=10))


def test_a_folder_that_changes_meanwhile_is_not_taken(site, tmp_path):
    digest = digest_of(site.root, SETTINGS)
    site.write("models/traffic.onnx", "other")
    with pytest.raises(DeploymentError, match="changed while it was copied"):
        stage(site.root, tmp_path / "artifacts", digest, SETTINGS)
    assert names(tmp_path / "artifacts") == []


def test_a_full_disk_leaves_nothing(site, tmp_path, monkeypatch):
    digest = digest_of(site.root, SETTINGS)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DeploymentError, match="No space left"):
        stage(site.root, tmp_path / "artifacts", digest, SETTINGS)
    assert names(tmp_path / "artifacts") == []


def test_everything_is_synced_before_the_rename(site, tmp_path, monkeypatch):
    seen = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(descriptor):
        seen.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def rename(source, target, **more):
        seen.append("rename")
        real_rename(source, target, **more)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    staged(site, tmp_path / "artifacts")
    renamed = seen.index("rename")
    before = {path.split("/.staging-")[1].partition("/")[2] for path in seen[:renamed]}
    assert before == {
        "",
        "group.toml",
        "models",
        "models/traffic.onnx",
        "functions",
        "functions/signal_timing",
        "functions/signal_timing/app.py",
    }
    assert seen[renamed + 1 :] == [str(tmp_path / "artifacts")]


def test_sweep_keeps_what_is_named(site, tmp_path):
    place = staged(site, tmp_path / "artifacts")
    (tmp_path / "artifacts/.staging-dead/x").mkdir(parents=True)
    (tmp_path / "artifacts/old").mkdir()
    sweep(tmp_path / "artifacts", {place.name})
    assert names(tmp_path / "artifacts") == [place.name]
    sweep(tmp_path / "absent", set())


def test_parts_speak_of_code_and_models_alone(site):
    group = load_group(site.root)
    before = parts_of(group, site.root, SETTINGS)
    assert set(before) == {"function:signal-timing", "camera:north"}
    site.write("README.md", "x")
    assert parts_of(group, site.root, SETTINGS) == before
    site.write("functions/signal_timing/app.py", "# changed")
    after = parts_of(group, site.root, SETTINGS)
    assert after["camera:north"] == before["camera:north"]
    assert after["function:signal-timing"] != before["function:signal-timing"]


def test_a_camera_s_frames_are_part_of_it(site):
    site.write("frames/1.jpg", "1").change("synthetic:traffic", "folder:frames?fps=5")
    group = load_group(site.root)
    before = parts_of(group, site.root, SETTINGS)
    site.write("frames/2.jpg", "2")
    assert parts_of(group, site.root, SETTINGS)["camera:north"] != before["camera:north"]

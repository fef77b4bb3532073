"""The folders of a demonstration and its copy of the group."""

import tomllib

import pytest

from edgecore.base.errors import ConfigError
from edgecore.sim.site import Site, tied_to_clock


@pytest.fixture
def group(tmp_path):
    folder = tmp_path / "group"
    (folder / "functions" / "__pycache__").mkdir(parents=True)
    (folder / "functions" / "app.py").write_text("x = 1")
    (folder / "group.toml").write_text(
        '[cameras.a]\nsource = "synthetic:traffic?seed=7"   # drawn\ntopic = "junction/a"\n[devices.lamp]\n'
    )
    return folder


def test_a_site_has_a_folder_for_each_part_and_a_group_of_its_own(tmp_path, group):
    site = Site(tmp_path / "site")
    site.prepare(group, 1700000000.5, None)
    assert all(folder.is_dir() for folder in (site.cloud, site.core, site.certificates, site.logs))
    assert (site.group / "functions" / "app.py").read_text() == "x = 1"
    assert not (site.group / "functions" / "__pycache__").exists()
    manifest = tomllib.loads((site.group / "group.toml").read_text())
    assert manifest["cameras"]["a"]["source"] == "synthetic:traffic?seed=7&epoch=1700000000.500"


def test_a_folder_that_holds_something_is_refused(tmp_path, group):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old").write_text("counts")
    with pytest.raises(ConfigError, match="an empty folder or none"):
        Site(tmp_path / "site").prepare(group, 1.0, None)


def test_a_folder_without_a_group_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no group\.toml there"):
        Site(tmp_path / "site").prepare(tmp_path, 1.0, None)


@pytest.mark.parametrize(
    ("source", "seed", "tied"),
    [
        ('source = "synthetic:traffic"', None, 'source = "synthetic:traffic?epoch=12.000"'),
        ('source = "synthetic:traffic?seed=7"', None, 'source = "synthetic:traffic?seed=7&epoch=12.000"'),
        ('source = "synthetic:traffic?seed=7"', 8, 'source = "synthetic:traffic?seed=8&epoch=12.000"'),
        ('source="synthetic:traffic?epoch=1" # x', 8, 'source="synthetic:traffic?epoch=12.000&seed=8" # x'),
        ('source = "file:clip.mp4"', 8, 'source = "file:clip.mp4"'),
        ('# source = "synthetic:traffic"', 8, '# source = "synthetic:traffic"'),
    ],
)
def test_only_drawn_cameras_are_tied_to_the_clock(source, seed, tied):
    assert tied_to_clock(f"[cameras.a]\n{source}\n", 12.0, seed) == f"[cameras.a]\n{tied}\n"

"""Laws of a group's digest: it tells folders apart, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.deployments.artifacts import digest_of, stage
from edgecore.deployments.settings import DeploymentsSettings

SETTINGS = DeploymentsSettings()
FOLDERS = st.dictionaries(
    st.sampled_from(["a", "b", "ab", "x/a", "x/b", "x y", "x-/a", "ü"]), st.binary(max_size=4), max_size=4
)


def write(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@settings(max_examples=60, deadline=None)
@given(FOLDERS, FOLDERS)
def test_folders_have_the_same_digest_exactly_when_they_hold_the_same(one, other):
    with tempfile.TemporaryDirectory() as place:
        first, second = Path(place) / "1", Path(place) / "2"
        for root, files in ((first, one), (second, dict(reversed(other.items())))):
            root.mkdir()
            write(root, files)
        assert (digest_of(first, SETTINGS) == digest_of(second, SETTINGS)) == (one == other)


@settings(max_examples=25, deadline=None)
@given(FOLDERS)
def test_a_copy_holds_what_the_folder_held(files):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "1"
        root.mkdir()
        write(root, files)
        copy = stage(root, Path(place) / "artifacts", digest_of(root, SETTINGS), SETTINGS)
        found = {
            path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()
        }
        assert found == files

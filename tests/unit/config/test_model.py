from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgecore.config
from edgecore.config import Config, Paths


def test_only_the_thing_must_be_said():
    config = Config("core-7", Paths.under(Path("/x")))
    assert config.uplink is None
    assert config.listener.port == 8883
    assert config.log.level == "info"


def test_every_public_name_is_there():
    for name in edgecore.config.__all__:
        assert getattr(edgecore.config, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = edgecore.config.Nothing


def test_paths_load_no_room():
    check = "import sys, edgecore.config.paths; print([m for m in sys.modules if m.startswith('edgecore.')])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['edgecore.config', 'edgecore.config.paths']"

from pathlib import Path

import pytest

from edgecore.base.errors import ConfigError
from edgecore.cli.options import MQTT_PORT, credentials_of, mqtt_port, paths_of


def test_a_folder_holds_a_whole_core(tmp_path):
    assert paths_of(tmp_path).control == tmp_path / "run" / "control.sock"


def test_without_a_folder_it_is_the_core_of_this_machine():
    assert paths_of(None).config == Path("/etc/edgecore/edgecore.toml")


@pytest.mark.parametrize("missing", ["cert", "key", "ca"])
def test_each_file_is_looked_for(tmp_path, missing):
    for part in {"cert", "key"} - {missing}:
        (tmp_path / f"gate.{part}.pem").touch()
    if missing != "ca":
        (tmp_path / "ca.pem").touch()
    with pytest.raises(ConfigError, match=f"Name it with --{missing}"):
        credentials_of(tmp_path / "gate.cert.pem", None, None)


def test_a_certificate_by_any_name(tmp_path):
    for name in ("a.pem", "b.pem", "c.pem"):
        (tmp_path / name).touch()
    found = credentials_of(tmp_path / "a.pem", tmp_path / "b.pem", tmp_path / "c.pem")
    assert (found.key, found.ca) == (tmp_path / "b.pem", tmp_path / "c.pem")


def test_the_port_is_the_one_given_or_noted_or_the_standard_one(tmp_path):
    assert mqtt_port(5, tmp_path) == 5
    assert mqtt_port(None, tmp_path) == MQTT_PORT
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ports.json").write_text('{"mqtt": 4321}')
    assert mqtt_port(None, tmp_path) == 4321

import importlib
from pathlib import Path

import pytest

from edgecore.base.errors import CertificateError, ConfigError
from edgecore.daemon import exit_codes
from edgecore.daemon.main import LockedError, Options

command = importlib.import_module("edgecore.daemon.__main__")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], Options()),
        (["--dir", "d", "--group", "g"], Options(Path("d"), Path("g"))),
        (["--mqtt-port", "0", "--force"], Options(mqtt_port=0, force=True)),
    ],
)
def test_the_options_reach_the_core(monkeypatch, arguments, options):
    asked = []
    monkeypatch.setattr(command, "run", lambda given: asked.append(given) or exit_codes.OK)
    assert command.main(arguments) == exit_codes.OK
    assert asked == [options]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LockedError("held by process 7"), exit_codes.LOCKED),
        (ConfigError("edgecore.toml", "port", "x", "a number"), exit_codes.CONFIG),
        (CertificateError("ca.key is damaged"), exit_codes.FAILED),
    ],
)
def test_what_keeps_a_core_from_starting_is_said(monkeypatch, capsys, error, code):
    def fail(_options):
        raise error

    monkeypatch.setattr(command, "run", fail)
    assert command.main([]) == code
    assert capsys.readouterr().err == f"edgecore: {error}\n"

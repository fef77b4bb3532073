"""Files that a person wrote wrong: refused before anything starts, each fault with its cure."""

import pytest

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "junction"

[devices.a]
atributes = { signal = "speed" }

[[routes]]
from = "device:b"
topic = "dt/#/x"
to = "cloud"
"""


@pytest.fixture
def folder(tmp_path, edgecore_verb):
    code, _, err = edgecore_verb("init", "--dir", tmp_path / "core", "--thing", "test-core")
    assert code == 0, err
    return tmp_path / "core"


def nothing_started(folder):
    return not (folder / "run" / "ports.json").exists() and not any(folder.glob("state/*.sqlite*"))


def test_a_faulty_group_is_refused_with_every_fault(tmp_path, folder, edgecore_verb):
    (tmp_path / "group").mkdir()
    file = tmp_path / "group" / "group.toml"
    file.write_text(GROUP)
    code, out, err = edgecore_verb("run", "--dir", folder, "--group", file.parent, "--mqtt-port", 0)
    assert (code, out) == (78, "")
    assert f"{file}: devices.a.atributes: found" in err
    assert "expected one of attributes, shadow, thing. Did you mean 'attributes'?" in err
    assert f"{file}: routes[0].from: found 'device:b'" in err
    assert "Did you mean 'device:a'?" in err
    assert f"{file}: routes[0].topic" in err
    assert "Traceback" not in err
    assert nothing_started(folder)


def test_faulty_settings_are_refused(folder, edgecore_verb):
    file = folder / "edgecore.toml"
    file.write_text(file.read_text() + '\n[listener]\nprot = 8883\nmax_packet_size = "much"\n')
    code, out, err = edgecore_verb("run", "--dir", folder)
    assert (code, out) == (78, "")
    assert f"{file}: listener.prot: found" in err
    assert "Did you mean 'port'?" in err
    assert f"{file}: listener.max_packet_size: found" in err
    assert "Traceback" not in err
    assert nothing_started(folder)


def test_a_file_that_is_no_toml_is_refused_with_the_place(folder, edgecore_verb):
    file = folder / "edgecore.toml"
    file.write_text("thing = \n")
    code, _, err = edgecore_verb("run", "--dir", folder)
    assert code == 78
    assert str(file) in err
    assert "line 1" in err
    assert nothing_started(folder)


def test_a_demonstration_of_no_group_is_refused(tmp_path, edgecore_verb):
    code, out, err = edgecore_verb(
        "demo", "--json", "--for", "1s", "--group", tmp_path, "--dir", tmp_path / "d"
    )
    assert (code, out) == (78, "")
    assert "no group.toml there" in err

from __future__ import annotations

import pytest

from edgecore.base.errors import ConfigError
from edgecore.base.group import CameraSpec, DeviceSpec, FunctionSpec, Row, ShadowSpec
from edgecore.deployments import load_group
from edgecore.deployments.manifest import MAX_FILE_BYTES, group_folder


def test_a_whole_group(site):
    group = load_group(site.root)
    assert group.name == "junction-7"
    assert group.devices["loop-north"] == DeviceSpec(
        "loop-north", "loop-north", {"lane": "north"}, ShadowSpec(sync=True, named=("config",))
    )
    assert group.devices["loop-south"] == DeviceSpec("loop-south", "loop-south")
    assert group.cameras["north"] == CameraSpec(
        "north",
        "synthetic:traffic",
        "junction/north",
        "models/traffic.onnx",
        every=pytest.approx(0.1),
        lines={"stop-line": ((0.0, 0.65), (1.0, 0.65))},
        privacy=(((0.0, 0.0), (1.0, 0.0), (1.0, 0.12), (0.0, 0.12)),),
    )
    assert group.functions["signal-timing"] == FunctionSpec(
        "signal-timing",
        "functions/signal_timing",
        "app.handler",
        result="junction/north/timing",
        timeout=3.0,
        memory=64_000_000,
        environment={"CYCLE": "90"},
    )
    assert group.routes[1] == Row(
        ("function:signal-timing",), ("junction/+/timing",), ("device:loop-north", "cloud")
    )
    assert len(group.routes) == 5


def test_the_file_may_be_named_itself(site):
    assert load_group(site.root / "group.toml") == load_group(site.root)
    assert group_folder(site.root / "group.toml") == site.root


def test_a_place_without_a_group(tmp_path):
    with pytest.raises(ConfigError, match=r"found nothing, expected a folder with a group\.toml"):
        load_group(tmp_path / "absent")
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(ConfigError, match="a file of another name"):
        load_group(tmp_path / "x.toml")
    with pytest.raises(ConfigError, match=r"no readable file \(No such file"):
        load_group(tmp_path)


def test_a_file_that_cannot_be_a_group(site):
    site.write("group.toml", "x = " + "1" * MAX_FILE_BYTES)
    with pytest.raises(ConfigError, match="more than"):
        load_group(site.root)
    (site.root / "group.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="not UTF-8 at 2"):
        load_group(site.root)


def test_all_faults_are_reported_at_once(site):
    site.change('every = "100ms"', 'evry = "100ms"').root.joinpath("models/traffic.onnx").unlink()
    with pytest.raises(ConfigError) as error:
        load_group(site.root)
    text = str(error.value)
    assert "cameras.north.evry: found a key that is not known" in text
    assert "Did you mean 'every'?" in text
    assert "cameras.north.model: found 'models/traffic.onnx'" in text
    assert text.startswith(f"{site.root}/group.toml: ")


def faults(site, core_thing=""):
    with pytest.raises(ConfigError) as error:
        load_group(site.root, core_thing)
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "junction-7"', "", "group.name: found nothing"),
        ('name = "junction-7"', 'name = "a b"', "group.name: found 'a b'"),
        ('[group]\nname = "junction-7"', "", "group: found nothing"),
        ("[group]", "[grup]", "Did you mean 'group'?"),
        ('[group]\nname = "junction-7"', "group = 3", "group: found 3, expected a table"),
        ("[devices.loop-south]", '[devices.loop-south]\nthing = "loop-north"', "the thing of loop-north too"),
        ("[group]", "[secrets.x]\n[group]", "secrets is not available yet"),
        ("[group]", "[route]\n[group]", "route: found a key that is not known"),
    ],
)
def test_what_is_wrong_in_the_whole(site, old, new, says):
    site.change(old, new)
    assert says in faults(site)


def test_no_device_may_have_the_core_s_thing(site):
    assert load_group(site.root, "core-7").name == "junction-7"
    assert "the core's own thing" in faults(site, "loop-south")


def test_two_cameras_may_not_share_a_topic(site):
    site.add(
        '[cameras.south]\nsource = "synthetic:traffic"\ntopic = "junction/north"\nmodel = "models/traffic.onnx"'
    )
    assert "cameras.south.topic: found 'junction/north', the topic of north too" in faults(site)

from __future__ import annotations

import pytest

from edgecore.base.group import ShadowSpec, SyncRule
from edgecore.deployments.files import GroupFolder
from edgecore.deployments.reading import Faults, parse
from edgecore.deployments.sections import read_camera, read_device, read_function

CAMERA = 'source = "synthetic:traffic"\ntopic = "t"\nmodel = "m.onnx"\n'
FUNCTION = 'source = "f"\nhandler = "app.handler"\nisolation = "none"\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "m.onnx").write_text("m")
    (tmp_path / "clip.mp4").write_text("v")
    (tmp_path / "frames").mkdir()
    (tmp_path / "f" / "pkg").mkdir(parents=True)
    (tmp_path / "f" / "app.py").write_text("")
    (tmp_path / "f" / "pkg" / "app.py").write_text("")
    return GroupFolder(tmp_path)


def read(reader, text, *folder, name="x"):
    """(record, faults as text) of one section."""
    top = parse(f'[s."{name}"]\n{text}', Faults("f"))
    ((_, table),) = top.each_table("s")
    record = reader(name, table, *folder)
    return record, "\n".join(map(str, top.faults.found))


def test_devices():
    device, faults = read(read_device, 'thing = "T:1"\nattributes = { a = "b" }\nshadow = { sync = true }')
    assert (device.thing, device.attributes, device.shadow, faults) == (
        "T:1",
        {"a": "b"},
        ShadowSpec(sync=True),
        "",
    )
    device, faults = read(read_device, "shadow = { sync = true, named = [] }")
    assert (device.thing, device.shadow, faults) == ("x", ShadowSpec(sync=True), "")


PERIODIC = SyncRule("deviceToCloud", 300.0)


@pytest.mark.parametrize(
    ("text", "synced"),
    [
        ("sync = true", {"": SyncRule()}),
        ('sync = true, named = ["n"]', {"": SyncRule(), "n": SyncRule()}),
        ('sync = true, named = "n", classic = false', {"n": SyncRule()}),
        (
            'sync = true, direction = "deviceToCloud", every = "5m", named = ["n"]',
            {"": PERIODIC, "n": PERIODIC},
        ),
        (
            (
                'sync = true, direction = "deviceToCloud", every = "5m", named.n.direction = "cloudToDevice", '
                'named.m = {}, named.o.every = "0s"'
            ),
            {
                "": PERIODIC,
                "n": SyncRule("cloudToDevice", 300.0),
                "m": PERIODIC,
                "o": SyncRule("deviceToCloud"),
            },
        ),
        (
            "sync = true, named = { n = { sync = false }, m = { sync = true } }",
            {"": SyncRule(), "m": SyncRule()},
        ),
        ('sync = false, direction = "deviceToCloud"', {}),
    ],
)
def test_which_shadows_of_a_device_are_synchronised_and_how(text, synced):
    device, faults = read(read_device, f"shadow = {{ {text} }}")
    assert (device.shadow.synced(), faults) == (synced, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('thing = "a b"', "s.x.thing: found 'a b'"),
        ("attributes = { a = 1 }", "s.x.attributes.a: found 1, expected a text"),
        ("shadow = true", "s.x.shadow: found true, expected a table"),
        ('shadow = { sync = "yes" }', "s.x.shadow.sync"),
        ('shadow = { sync = true, named = ["a/b"] }', "s.x.shadow.named"),
        ('shadow = { named = ["a"] }', "sync = true beside it"),
        ("shadow = { synced = true }", "Did you mean 'sync'?"),
        ('shadow = { sync = true, direction = "toCloud" }', "one of betweenDeviceAndCloud, deviceToCloud"),
        ('shadow = { sync = true, direction = "devicetocloud" }', "Did you mean 'deviceToCloud'?"),
        ('shadow = { sync = true, every = "soon" }', "s.x.shadow.every: found 'soon'"),
        (
            'shadow = { sync = true, named = { n = { directoin = "deviceToCloud" } } }',
            "Did you mean 'direction'?",
        ),
        ('shadow = { sync = true, named = { "a/b" = {} } }', "s.x.shadow.named: found 'a/b'"),
        (
            "shadow = { sync = true, named = { n = true } }",
            "s.x.shadow.named.n: found true, expected a table",
        ),
        ('shadow = { direction = "deviceToCloud" }', "sync = true beside it, or false"),
        ('shadow = { sync = false, named = ["a"] }', "sync = true beside `named`"),
        ('certificate = "x"', "certificate"),
    ],
)
def test_what_is_wrong_with_a_device(text, says):
    assert says in read(read_device, text)[1]


def test_a_name_that_is_none():
    assert 's."a b": found ' in read(read_device, "", name="a b")[1]


def test_cameras(folder):
    text = (
        'threshold = 0.4\ncounts_every = 5\nevery = "1s"\nqos = { counts = 1, events = 0 }\n'
        "lines = { a = [[0, 0], [1, 1]] }\nprivacy = [[[0, 0], [0, 1], [1, 1]]]"
    )
    camera, faults = read(read_camera, CAMERA + text, folder)
    assert faults == ""
    assert (camera.threshold, camera.counts_every, camera.every) == (0.4, 5, 1.0)
    assert (camera.qos, camera.lines) == ({"counts": 1, "events": 0}, {"a": ((0.0, 0.0), (1.0, 1.0))})
    assert camera.privacy == (((0.0, 0.0), (0.0, 1.0), (1.0, 1.0)),)


@pytest.mark.parametrize(
    "source",
    [
        "file:clip.mp4",
        "folder:frames/",
        "file:clip.mp4?fps=10",
        "picamera2",
        "v4l2:/dev/video0",
        "rtsp://h/x",
    ],
)
def test_sources(folder, source):
    camera, faults = read(read_camera, CAMERA.replace("synthetic:traffic", source), folder)
    assert (camera.source, faults) == (source, "")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("synthtic:traffic", "Did you mean 'synthetic'?"),
        ("synthetic", "s.x.source: found 'synthetic'"),
        ("file:", "s.x.source"),
        ("file:absent.mp4", "There is no"),
        ("file:../x", "would leave"),
        ("folder:clip.mp4", "is a file"),
        ("webcam:0", "s.x.source: found 'webcam:0'"),
    ],
)
def test_sources_that_are_none(folder, source, says):
    assert says in read(read_camera, CAMERA.replace("synthetic:traffic", source), folder)[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threshold = 2", "s.x.threshold: found 2, expected a number from 0 to 1"),
        ("counts_every = 0", "s.x.counts_every"),
        ('every = "0.1ms"', "s.x.every: found '0.1ms', expected a duration of \"1ms\" or more"),
        ("qos = { counts = 3 }", "s.x.qos.counts: found 3"),
        ("qos = { count = 1 }", "Did you mean 'counts'?"),
        ("lines = { stop-line = 3 }", "s.x.lines.stop-line: found 3, expected two points"),
        ("lines = { stop-line = [[0, 0]] }", "s.x.lines.stop-line: found 1 points"),
        ("lines = { stop-line = [[0, 0], [1.5, 0]] }", "s.x.lines.stop-line[1]: found [1.5, 0]"),
        ("lines = { stop-line = [[0, 0], [1]] }", "s.x.lines.stop-line[1]: found [1], expected [x, y]"),
        ("lines = { stop-line = [[0, 0], [0, 0]] }", "twice the same point"),
        ('lines = { "a b" = [[0, 0], [1, 0]] }', 's.x.lines."a b"'),
        ("lines = 3", "s.x.lines: found 3, expected a table"),
        ("privacy = [[[0, 0], [1, 1]]]", "s.x.privacy[0]: found 2 different points, expected three"),
        ("privacy = [[[0, 0], [1, 1], [0, 0]]]", "s.x.privacy[0]: found 2 different points"),
        ("privacy = [[[0, 0], [1, 1], [0, nan]]]", "s.x.privacy[0][2]"),
        ("privacy = [3]", "s.x.privacy[0]: found 3"),
        ("privacy = {}", "s.x.privacy: found a table"),
    ],
)
def test_what_is_wrong_with_a_camera(folder, text, says):
    assert says in read(read_camera, CAMERA + text, folder)[1]


@pytest.mark.parametrize("key", ["source", "topic", "model"])
def test_what_a_camera_needs(folder, key):
    text = "\n".join(line for line in CAMERA.splitlines() if not line.startswith(key))
    assert f"s.x.{key}: found nothing" in read(read_camera, text, folder)[1]


def test_a_camera_s_topic_is_a_topic(folder):
    assert "wildcard" in read(read_camera, CAMERA.replace('"t"', '"a/#"'), folder)[1]


def test_functions(folder):
    text = 'runtime = "python"\npinned = true\nmemory = "20MiB"\ntimeout = "1m"\nenvironment = { A = "" }'
    function, faults = read(read_function, FUNCTION + text, folder)
    assert faults == ""
    assert (function.pinned, function.memory, function.timeout) == (True, 20 * 2**20, 60.0)
    assert (function.isolation, function.runtime, function.environment) == ("none", "python", {"A": ""})


def test_that_there_is_no_sandbox_must_be_said(folder):
    silent = FUNCTION.replace('isolation = "none"\n', "")
    assert (
        's.x.isolation: found nothing, expected "none": there is no sandbox yet'
        in read(read_function, silent, folder)[1]
    )
    other = FUNCTION.replace('"none"', '"container"')
    assert (
        'isolation other than "none" (container) is not available yet'
        in read(read_function, other, folder)[1]
    )


@pytest.mark.parametrize("handler", ["app.handler", "pkg.app.handler", "pkg/app.handler"])
def test_handlers(folder, handler):
    function, faults = read(read_function, FUNCTION.replace("app.handler", handler), folder)
    assert (function.handler, faults) == (handler, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('runtime = "provided"', '"provided" is not available yet'),
        ('runtime = "node"', "s.x.runtime: found 'node', expected \"python\""),
        ('invoke = ["y"]', "invoke is not available yet"),
        ("invoke = 3", "invoke is not available yet"),
        ("aliases = { live = 3 }", "aliases is not available yet"),
        ('secrets = ["y"]', "secrets is not available yet"),
        ('memory = "1MB"', "s.x.memory: found '1MB', expected \"10MB\" or more"),
        ("memory = 64", "s.x.memory: found 64, expected a size"),
        ("timeout = 3", "s.x.timeout: found 3, expected a duration"),
        ('result = "a/+"', "wildcard"),
        ("environment = { CYCLE = 90 }", "s.x.environment.CYCLE: found 90, expected a text"),
        ('environment = { "a b" = "x" }', "a variable's name"),
        ('environment = { A = "a\\u0000" }', "without U+0000"),
        ('timout = "3s"', "Did you mean 'timeout'?"),
    ],
)
def test_what_is_wrong_with_a_function(folder, text, says):
    assert says in read(read_function, FUNCTION + text, folder)[1]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"f"', '"g"', "s.x.source: found 'g', expected a folder inside the group's folder"),
        ("app.handler", "apq.handler", "Did you mean 'app.handler'?"),
        ("app.handler", "handler", 'expected "FILE.FUNCTION"'),
        ("app.handler", "a-b.handler", 'expected "FILE.FUNCTION"'),
        ("app.handler", "../app.handler", 'expected "FILE.FUNCTION"'),
        ('handler = "app.handler"', "", "s.x.handler: found nothing"),
        ('source = "f"', "", "s.x.source: found nothing"),
    ],
)
def test_code_that_is_not_there(folder, old, new, says):
    assert says in read(read_function, FUNCTION.replace(old, new), folder)[1]


def test_a_function_s_name_has_no_colon(folder):
    assert "without ':'" in read(read_function, FUNCTION, folder, name="a:b")[1]

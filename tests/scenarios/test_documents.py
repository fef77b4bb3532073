"""The commands that documents show are run, as they stand there."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from edgecore.api.metrics import LATENCY, SOURCES
from edgecore.deployments import load_group
from edgecore.listener import ListenerSettings
from edgecore.store import StoreSettings

pytestmark = pytest.mark.xdist_group("scenario")

ROOT = Path(__file__).resolve().parents[2]
EDGECORE = {"edgecore", ".venv/bin/edgecore"}
UNITS = {None: 1, "KiB": 1024, "MiB": 1024**2, "s": 1, "min": 60, "days": 24 * 3600}
WITHIN = 30


def commands(document):
    """Every command line of the document's fenced blocks; continued lines are joined, comments left out."""
    text = (ROOT / document).read_text()
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(block for language, block in fenced if not language).replace("\\\n", " ").splitlines()
    known = (*EDGECORE, "mosquitto_pub", "mosquitto_sub", "make")
    return [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] in known]


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "docs/performance.md", "docs/architecture.md"]
)
def test_every_make_verb_that_is_shown_exists(document):
    text = (ROOT / document).read_text()
    shown = set(re.findall(r"`make ([a-z]+)", text)) | {
        argv[1] for argv in commands(document) if argv[0] == "make"
    }
    for verb in sorted(shown):
        done = subprocess.run(
            ["make", "-n", verb], check=False, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/architecture.md",
        "docs/groups.md",
        "docs/devices.md",
        "docs/cloud.md",
        "docs/shadows.md",
        "docs/security.md",
        "docs/performance.md",
        "CONTRIBUTING.md",
        "docs/decisions/README.md",
    ],
)
def test_every_file_that_is_named_exists(document):
    text = (ROOT / document).read_text()
    linked = {(ROOT / document).parent / each for each in re.findall(r"\]\(([^)#:]+)\)", text)}
    named = {ROOT / each for each in re.findall(r"`((?:tests|tools|docs|deploy|edgecore)/[\w./-]+)`", text)}
    missing = sorted(str(path) for path in linked | named if not path.exists() and "modbus" not in str(path))
    assert missing == []


def test_every_limit_of_a_device_that_is_named_is_a_setting_with_that_default():
    text = (ROOT / "docs/devices.md").read_text().partition("### Limits")[2].partition("###")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    known = {**asdict(ListenerSettings()), **asdict(StoreSettings())}
    seen = set()
    for names, defaults, _ in rows:
        for key, default in zip(re.findall(r"`([a-z_]+)`", names), defaults.split(", "), strict=False):
            number, unit = re.match(r"([\d,]+) ?(KiB|MiB|min|days|s\b)?", default).groups()
            assert int(number.replace(",", "")) * UNITS[unit] == known[key], key
            seen.add(key)
    assert len(seen) > 15


def test_every_metric_that_is_named_exists():
    named = set(re.findall(r"`(edgecore_[a-z_]+)", (ROOT / "docs/devices.md").read_text()))
    made = {source.name for source in SOURCES} | {LATENCY}
    assert len(named) > 10
    assert {name.removesuffix("_total") for name in named} <= made


def test_the_example_of_a_group_loads(tmp_path):
    text = (ROOT / "docs/groups.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shutil.copytree(ROOT / "deploy/traffic-junction", tmp_path / "group")
    (tmp_path / "group" / "group.toml").write_text(example)
    group = load_group(tmp_path / "group")
    assert group.cameras["north"].qos == {"counts": 1}
    assert len(group.routes) == 5


@pytest.mark.parametrize("document", ["README.md", "deploy/sensor-gateway/README.md"])
def test_a_device_of_ones_own_in_three_commands(document, tmp_path):
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed (Debian: mosquitto-clients)")
    shown = [argv for argv in commands(document) if argv[0] != "make"]
    verbs = [argv[1] if argv[0] in EDGECORE else argv[0] for argv in shown]
    assert verbs[:3] == ["init", "device", "run"]
    assert "mosquitto_pub" in verbs
    core = made_as_shown(shown, tmp_path)
    with running(ours(shown[2]), tmp_path, core) as port, watched(core) as first_message:
        done(shown[verbs.index("mosquitto_pub")], tmp_path, port)
        assert first_message()["topic"] == "dt/sensor-1/temperature"


def test_the_same_device_by_the_program_that_is_shown(tmp_path):
    core = made_as_shown([argv for argv in commands("README.md") if argv[0] != "make"], tmp_path)
    (program,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    run = next(argv for argv in commands("README.md") if "run" in argv and argv[0] in EDGECORE)
    with running(ours(run), tmp_path, core) as port, watched(core) as first_message:
        assert program.count("8883") == 1
        done([sys.executable, "-W", "error", "-c", program.replace("8883", str(port))], tmp_path, port)
        seen = first_message()
    assert (seen["topic"], seen["payload"]) == ("dt/sensor-1/temperature", '{"value": 21.5}')
    assert seen["sender"] == "device:sensor-1"


def test_what_came_for_a_device_that_was_away_by_the_commands_that_are_shown(tmp_path):
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian: mosquitto-clients)")
    shown = [argv for argv in commands("README.md") if argv[0] != "make"]
    core = made_as_shown(shown, tmp_path)
    leave, publish, status, come_back = shown[-4:]
    assert [publish[1], status[1]] == ["pub", "status"]
    with running(ours(shown[2]), tmp_path, core) as port:
        done(leave, tmp_path, port)
        done(ours(publish), tmp_path, port)
    # "Stop the core in between": it has another port now.
    with running(ours(shown[2]), tmp_path, core) as port:
        told = done(ours(status), tmp_path, port)
        assert "1 session kept (1 away) with 1 message that waits" in " ".join(told.split())
        assert done(come_back, tmp_path, port) == 'cmd/sensor-1/sample {"every": "5s"}\n'


def made_as_shown(shown, folder):
    """The core's folder, made by the first two commands where the example groups are at hand."""
    (folder / "deploy").symlink_to(ROOT / "deploy")
    for argv in shown[:2]:
        done(ours(argv), folder, 0)
    return folder / shown[2][shown[2].index("--dir") + 1]


def done(argv, folder, port):
    """Standard output of a command that has to succeed, with the port in use instead of 8883."""
    argv = [str(port) if each == "8883" else each for each in argv]
    ended = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True, timeout=WITHIN)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def watched(core):
    """Watch what devices report; gives a function that waits for the first message."""
    watching = [*ours(["edgecore", "sub", "dt/#"]), "--dir", str(core), "--count", "1", "--json"]
    with subprocess.Popen(watching, stdout=subprocess.PIPE, text=True) as watcher:
        wait_for_subscription(core)
        yield lambda: json.loads(watcher.communicate(timeout=WITHIN)[0])


def ours(argv):
    """The command as this interpreter runs it, with a free port instead of 8883, which may be in use."""
    port = ["--mqtt-port", "0"] if "run" in argv else []
    return [sys.executable, "-m", "edgecore", *argv[1:], *port]


@contextmanager
def running(argv, folder, core):
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield until(lambda: json.loads((core / "run" / "ports.json").read_text())["mqtt"])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN) == 0


def wait_for_subscription(core):
    status = [*ours(["edgecore", "status"]), "--dir", str(core), "--json"]

    def subscriptions():
        done = subprocess.run(status, check=False, capture_output=True, text=True, timeout=WITHIN)
        return json.loads(done.stdout)["units"]["router"]["status"]["subscriptions"]

    until(subscriptions)


def until(look):
    """What `look` gives once it gives something; no event tells of it."""
    ends = time.monotonic() + WITHIN
    while time.monotonic() < ends:
        try:
            if found := look():
                return found
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"nothing within {WITHIN} s")

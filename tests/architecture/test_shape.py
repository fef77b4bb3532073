"""The shape of every room: doors, sizes, and what a fresh interpreter may load."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import graph  # the sibling file, found by the line above

MAX_LINES = 600  # the ceiling; 400 is the aim
ROOMS = ["listener", "lambdas", "shadow", "inference", "uplink", "deployments", "api"]


def test_no_file_is_longer_than_the_ceiling():
    long = {
        str(path.relative_to(graph.ROOT)): lines
        for folder in ("edgecore", "tests", "tools")
        for path in (graph.ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_every_module_says_what_may_live_in_it():
    silent = [
        module
        for module, path in graph.modules().items()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_the_same_doors(room):
    folder = graph.PACKAGE / room
    assert (folder / "settings.py").exists()
    assert (folder / "service.py").exists()
    exported = _exports(folder / "__init__.py")
    assert any(name.endswith("Settings") for name in exported)
    assert any(name.endswith("Service") for name in exported)


@pytest.mark.parametrize("room", ROOMS)
def test_only_the_service_starts_tasks(room):
    starters = [
        path.name
        for path in (graph.PACKAGE / room).rglob("*.py")
        if path.name != "service.py"
        and any(word in path.read_text() for word in ("create_task(", "ensure_future(", "TaskGroup("))
    ]
    assert starters == []


def _exports(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [ast.literal_eval(each) for each in node.value.elts]
    return []


def loaded(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    # Coverage, when it watches this run, would load half the library into the fresh interpreter.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=env
    )
    return set(done.stdout.split())


def test_the_daemon_imports_without_any_extra():
    heavy = {
        "numpy",
        "cv2",
        "onnxruntime",
        "awscrt",
        "awsiot",
        "picamera2",
        "paho",
        "paho.mqtt",
        "typer",
        "rich",
    }
    assert loaded("import edgecore.daemon.main") & heavy == set()


def test_a_worker_loads_neither_the_loop_nor_the_store():
    heavy = {"asyncio", "ssl", "sqlite3", "aiohttp", "msgspec", "cryptography"}
    assert loaded("from edgecore.lambdas import sdk") & heavy == set()


def test_the_command_line_is_light_until_a_verb_runs():
    heavy = {"aiohttp", "cryptography", "sqlite3", "numpy", "awscrt", "paho.mqtt.client"}
    assert loaded("import edgecore.cli") & heavy == set()


def test_the_package_itself_is_empty():
    assert {name for name in loaded("import edgecore") if name.startswith("edgecore")} == {"edgecore"}

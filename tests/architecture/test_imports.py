"""Who may import whom: DESIGN's floor plan, held. No exception list: a rule is kept or changed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import graph  # the sibling file, found by the line above

BOTTOM = {"base"}
MIDDLE = {"mqtt", "router", "store"}
ROOMS = {"listener", "lambdas", "shadow", "inference", "uplink", "deployments", "api"}
LEVELS = [BOTTOM, MIDDLE, ROOMS, {"config"}, {"daemon", "sim"}, {"cli"}, {"__main__"}]
LEVEL = {room: index for index, rooms in enumerate(LEVELS) for room in rooms}

# A pure file takes values and gives values: it can touch nothing that makes two runs differ.
IMPURE = {
    "asyncio",
    "socket",
    "ssl",
    "threading",
    "subprocess",
    "sqlite3",
    "time",
    "random",
    "logging",
    "os",
    "select",
    "signal",
}
PURE = {
    "edgecore.mqtt",
    "edgecore.router",
    "edgecore.base.backoff",
    "edgecore.base.commit",
    "edgecore.base.errors",
    "edgecore.base.group",
    "edgecore.base.identity",
    "edgecore.base.interfaces",
    "edgecore.base.message",
    "edgecore.base.topic",
    "edgecore.shadow.document",
    "edgecore.shadow.requests",
    "edgecore.shadow.reconcile",
    "edgecore.shadow.topics",
    "edgecore.store.btree",
    "edgecore.store.wal",
    "edgecore.lambdas.scheduling",
    "edgecore.lambdas.frames",
    "edgecore.uplink.mapping",
    "edgecore.uplink.connection",
    "edgecore.deployments.plan",
    "edgecore.inference.tracking",
    "edgecore.inference.counting",
    "edgecore.inference.decode",
    "edgecore.inference.scenes",
    "edgecore.sim.cloud.access",
    "edgecore.sim.cloud.broker",
    "edgecore.sim.cloud.client",
    "edgecore.sim.cloud.conditions",
    "edgecore.sim.cloud.conversation",
    "edgecore.sim.cloud.credentials",
    "edgecore.sim.cloud.documents",
    "edgecore.sim.cloud.executions",
    "edgecore.sim.cloud.faults",
    "edgecore.sim.cloud.jobs",
    "edgecore.sim.cloud.limits",
    "edgecore.sim.cloud.live",
    "edgecore.sim.cloud.policy",
    "edgecore.sim.cloud.presence",
    "edgecore.sim.cloud.rules",
    "edgecore.sim.cloud.services",
    "edgecore.sim.cloud.sessions",
    "edgecore.sim.cloud.shadows",
    "edgecore.sim.cloud.shares",
}
HOMES = {
    "onnxruntime": {"edgecore.inference.engine"},
    "awscrt": {"edgecore.uplink.aws"},
    "awsiot": {"edgecore.uplink.aws"},
    "picamera2": {"edgecore.inference.sources"},
    "cv2": {"edgecore.inference.sources", "edgecore.inference.scenes"},
    "sqlite3": {"edgecore.store"},
    "sqlitedict": {"edgecore.store"},
    "websockets": {"edgecore.listener"},
    "paho": {"edgecore.sim", "edgecore.cli", "edgecore.uplink.bridge", "edgecore.uplink.bridge_words"},
}
OPTIONAL = {"onnxruntime", "awscrt", "awsiot", "cv2", "picamera2", "numpy"}


def within(module, homes):
    return any(module == home or module.startswith(home + ".") for home in homes)


def ours():
    return [each for each in graph.all_imports() if each.target.startswith("edgecore.")]


def test_every_folder_is_a_room_of_the_floor_plan():
    rooms = {graph.room(module) for module in graph.modules()} - {""}
    assert rooms <= set(LEVEL)


def test_imports_go_downwards_and_never_to_a_sibling():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in ours()
        if graph.room(each.module)
        and graph.room(each.target) != graph.room(each.module)
        and LEVEL[graph.room(each.target)] >= LEVEL[graph.room(each.module)]
    ]
    assert wrong == []


def test_the_simulated_cloud_shares_nothing_with_what_it_checks():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in ours()
        if each.module.startswith("edgecore.sim.cloud")
        and graph.room(each.target) not in ("base", "mqtt", "sim")
    ]
    assert wrong == []


def test_base_needs_only_the_standard_library():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if graph.room(each.module) == "base"
        and each.target.split(".")[0] not in (sys.stdlib_module_names | {"edgecore"})
    ]
    assert wrong == []


def test_pure_files_exist_and_touch_neither_world_nor_time():
    known = graph.modules()
    assert sorted(pure for pure in PURE if pure not in known) == []
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if within(each.module, PURE) and each.target.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_heavy_imports_have_one_home_each():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if (homes := HOMES.get(each.target.split(".")[0]))
        and not within(each.module, homes)
        and not each.typing_only
    ]
    assert wrong == []


def test_what_only_tests_need_is_never_imported():
    """boto3 is what a function brings along, moto what it is tested against."""
    ours_not = {"boto3", "botocore", "moto", "flask", "flask_cors", "pytest", "hypothesis"}
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if each.target.split(".")[0] in ours_not
    ]
    assert wrong == []


def test_there_are_no_cycles_between_modules():
    edges = {}
    for each in ours():
        if not each.lazy and not each.typing_only and each.target != each.module:
            edges.setdefault(each.module, set()).add(each.target)
    state = {}

    def visit(module, path):
        state[module] = "open"
        for target in sorted(edges.get(module, ())):
            # A module inside a package may import its siblings, whose package is then half-made: no cycle.
            if state.get(target) == "open" and not module.startswith(target + "."):
                raise AssertionError(" -> ".join([*path, module, target]))
            if target not in state:
                visit(target, [*path, module])
        state[module] = "done"

    for module in sorted(edges):
        if module not in state:
            visit(module, [])


def needs_an_extra():
    """Modules that import an optional extra as soon as they are loaded, themselves or through others."""
    found = {
        each.module for each in graph.all_imports() if not each.lazy and each.target.split(".")[0] in OPTIONAL
    }
    edges = [(each.module, each.target) for each in ours() if not each.lazy and not each.typing_only]
    while more := {module for module, target in edges if target in found} - found:
        found |= more
    return found


def is_own_door(each):
    """Whether a package's __init__ opens one of its own exports, by name or through importlib."""
    is_package = graph.modules()[each.module].name == "__init__.py"
    return is_package and (
        each.target == "importlib.import_module" or each.target.startswith(each.module + ".")
    )


def test_functions_import_only_optional_extras():
    """A late import hides a cycle or a slow start. Two kinds have a reason: an extra, or a module of ours
    that needs one; and a package's door that opens its own exports one by one (PEP 562)."""
    extra = needs_an_extra()
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if each.lazy
        and graph.room(each.module) != "cli"
        and each.target.split(".")[0] not in OPTIONAL
        and each.target not in extra
        and not is_own_door(each)
    ]
    assert wrong == []


def test_threads_live_only_in_named_files():
    named = {
        "edgecore.store.database",
        "edgecore.daemon.logs",
        "edgecore.uplink.aws",
        "edgecore.inference.blocking",
        "edgecore.deployments.artifacts",  # syncs that wait together share one commit of the journal
        "edgecore.lambdas.channel",  # in the worker: user code may have threads
        "edgecore.sim",
    }
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in graph.all_imports()
        if each.target.split(".")[0] in ("threading", "concurrent") and not within(each.module, named)
    ]
    assert wrong == []

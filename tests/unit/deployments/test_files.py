from __future__ import annotations

import pytest

from edgecore.deployments.files import GroupFolder
from edgecore.deployments.reading import Faults, parse


def fault(root, path, kind="file"):
    table = parse(f"k = {path!r}", Faults("f"))
    getattr(GroupFolder(root), kind)(table, "k")
    return "\n".join(map(str, table.faults.found))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "g" / "models").mkdir(parents=True)
    (tmp_path / "g" / "models" / "m.onnx").write_text("m")
    (tmp_path / "secret").write_text("s")
    return tmp_path / "g"


def test_what_is_there(root):
    assert fault(root, "models/m.onnx") == ""
    assert fault(root, "./models/m.onnx") == ""
    assert fault(root, "models", "folder") == ""
    assert fault(root, ".", "folder") == ""


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("models/x.onnx", "file", "There is no"),
        ("models", "file", "is a folder"),
        ("models/m.onnx", "folder", "is a file"),
        ("/etc/passwd", "file", "relative path"),
        ("../secret", "file", "would leave"),
        ("models/../../secret", "file", "would leave"),
        ("models/../models/m.onnx", "file", "would leave"),
    ],
)
def test_what_is_refused(root, path, kind, says):
    assert says in fault(root, path, kind)


def test_a_link_that_leads_out_is_refused(root):
    (root / "link").symlink_to("../secret")
    assert "leads out" in fault(root, "link")


def module_fault(root, source, parts):
    table = parse('handler = "app.handler"', Faults("f"))
    GroupFolder(root).module(table, "handler", source, parts)
    return "\n".join(map(str, table.faults.found))


def test_modules(root):
    (root / "f" / "pkg").mkdir(parents=True)
    (root / "f" / "main.py").write_text("")
    (root / "f" / "pkg" / "__init__.py").write_text("")
    assert module_fault(root, "f", ["main"]) == ""
    assert module_fault(root, "f", ["pkg"]) == ""
    assert "expected a file mian.py in f. Did you mean 'main.handler'?" in module_fault(root, "f", ["mian"])
    assert "pkg/x.py" in module_fault(root, "f", ["pkg", "x"])
    assert module_fault(root, "absent", ["main"]) == "", "the folder's own fault is enough"

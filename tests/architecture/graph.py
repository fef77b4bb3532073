"""The import graph of edgecore, read with ast: nothing is executed. Used by the tests beside it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "edgecore"


@dataclass(frozen=True)
class Import:
    """One import statement's target: `module` imports `target`, at module level or inside a function."""

    module: str
    target: str
    line: int
    lazy: bool
    typing_only: bool


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for all of edgecore."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path) -> list[Import]:
    """Every import of a module, with names of edgecore's own modules resolved to modules."""
    found: list[Import] = []
    _walk(ast.parse(path.read_text()), module, found, lazy=False, typing_only=False)
    known = modules()
    return [
        Import(each.module, _resolve(each.target, known), each.line, each.lazy, each.typing_only)
        for each in found
    ]


def _resolve(target: str, known: dict[str, Path]) -> str:
    while target.startswith("edgecore") and target not in known and "." in target:
        target = target.rpartition(".")[0]
    return target


def _walk(node: ast.AST, module: str, found: list[Import], *, lazy: bool, typing_only: bool) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found += [Import(module, each.name, child.lineno, lazy, typing_only) for each in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: relative import"
            found += [
                Import(module, f"{child.module}.{each.name}", child.lineno, lazy, typing_only)
                for each in child.names
            ]
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            _walk(child, module, found, lazy=lazy or inside, typing_only=typing_only or guarded)


@cache
def all_imports() -> list[Import]:
    """Every import of every module of edgecore."""
    return [each for module, path in modules().items() for each in imports(module, path)]


def room(module: str) -> str:
    """The room that a module belongs to: "base" of "edgecore.base.topic", "" of edgecore itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "edgecore" else ""

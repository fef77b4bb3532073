"""The group's folder, as far as a group.toml may name files in it: nothing outside, nothing absent."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgecore.deployments.reading import Table, did_you_mean, show, suggest


class GroupFolder:
    """Where the relative paths of a group.toml start."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, table: Table, key: str) -> str:
        """The path under `key`, noted as a fault when it is no file of this folder."""
        return self._path(table, key, table.text(key), "a file")

    def folder(self, table: Table, key: str) -> str:
        """The path under `key`, noted as a fault when it is no folder of this folder."""
        return self._path(table, key, table.text(key), "a folder")

    def named(self, table: Table, key: str, path: str, kind: str) -> None:
        """Note a fault when `path`, a part of the value of `key`, is no file ("a file") or folder."""
        self._path(table, key, path, kind)

    def module(self, table: Table, key: str, source: str, parts: list[str]) -> None:
        """Note a fault when the function's folder `source` is there and lacks the module `parts`."""
        place = self.root.joinpath(source, *parts)
        candidates = (place.with_suffix(".py"), place / "__init__.py")
        if self._fault(source, "a folder") or any(candidate.is_file() for candidate in candidates):
            return
        near = suggest(parts[-1], [path.stem for path in place.parent.glob("*.py")])
        handler = table.text(key)
        hint = did_you_mean(".".join((*parts[:-1], near, handler.rpartition(".")[2])) if near else "")
        table.faults.add(table.at(key), show(handler), f"a file {'/'.join(parts)}.py in {source}", hint)

    def _path(self, table: Table, key: str, path: str, kind: str) -> str:
        if path:
            fault = self._fault(path, kind)
            if fault:
                table.faults.add(table.at(key), show(path), f"{kind} inside the group's folder", fault)
        return path

    def _fault(self, path: str, kind: str) -> str:
        relative = PurePosixPath(path)
        if relative.is_absolute() or "\0" in path:
            return "Copy it into the group's folder and name it by a relative path"
        if ".." in relative.parts:
            return "'..' would leave the group's folder, which alone is deployed"
        place = self.root / relative
        if not place.resolve().is_relative_to(self.root.resolve()):
            return "A link leads out of the group's folder, which alone is deployed"
        if not place.exists():
            return f"There is no {place}"
        if place.is_dir() != (kind == "a folder"):
            return f"{place} is {'a folder' if place.is_dir() else 'a file'}"
        return ""

"""A folder as a disk may hold it after a power cut, from the calls that a process made. Pure.

What is known to be there: the contents of each file as its last sync found them, and each name once its
folder was synced. Of everything since, each piece may be there or not:

- a write that no later sync of that file covers is absent, present, or torn at sectors of 512 bytes, and
  that independently of the writes before and after it; so is a change of size;
- a file that was made, renamed or removed may still be as before until its folder was synced.

A sync covers a write that had returned before the sync was entered, once the sync itself has returned. The
shared-memory index of SQLite (`-shm`) is written by mmap and holds nothing that must survive: it is left
out, or filled with noise.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from tests.crash.trace import TraceError, content, descriptor

SECTOR = 512
# What strace must show. The last two lines change files in ways that are not rebuilt here: they are refused.
TRACED = (
    *("openat", "write", "pwrite64", "ftruncate", "fallocate", "lseek", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "mmap"),
    *("open", "creat", "writev", "pwritev", "pwritev2", "truncate", "link", "linkat", "symlink", "symlinkat"),
    *("sendfile", "copy_file_range", "splice", "sync", "syncfs", "sync_file_range", "msync"),
)
# How a cut treats what was not synced. "prefix": everything up to some moment, the last write torn.
MODES = ("none", "all", "prefix", "subset", "torn")
_OFFSET = re.compile(r"(-?\d+)$")


@dataclass(slots=True, eq=False)
class Change:
    """A change of one file: bytes at an offset, or (data None) a new size."""

    begun: int
    ended: int | None
    offset: int
    data: bytes | None


@dataclass(slots=True, eq=False)
class File:
    """One file: `content` is what is surely there, `pending` what may be."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    size: int = 0  # as the process sees it

    def sync(self, begun):
        """A sync that was entered at line `begun` has returned."""
        left = []
        for change in self.pending:
            if change.ended is not None and change.ended < begun:
                apply(self.content, change.offset, change.data)
            else:
                left.append(change)
        self.pending = left


def apply(target, offset, data):
    """Write `data` at `offset`, or (None) make `offset` the size."""
    if data is None:
        del target[offset:]
        target.extend(bytes(offset - len(target)))
        return
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


@dataclass(slots=True, eq=False)
class Naming:
    """A change of names: `old` and `new` as in a rename, one of them "" where there is none.

    `folders`: those whose sync is still to come.
    """

    begun: int
    ended: int | None
    old: str
    new: str
    file: File | None
    folders: set[str]

    def apply(self, names):
        """Change the names: path -> File."""
        if self.file is not None:
            if self.old and names.get(self.old) is self.file:
                del names[self.old]
            if self.new:
                names[self.new] = self.file
            return
        inside = self.old + "/"  # a folder, with all that is in it
        for path in [path for path in names if path.startswith(inside)]:
            file = names.pop(path)
            if self.new:
                names[self.new + path[len(self.old) :]] = file


class Disk:
    """A folder at `root`, from its synced beginning (path -> bytes) on. Paths are relative to it.

    `ignore(path)`: what is not to be rebuilt, nor understood. `honest`: it does what a sync asks for; one that
    is not shows that the tests can fail.
    """

    def __init__(self, root, base, ignore=lambda _path: False, *, honest=True):
        self._root = root.rstrip("/") + "/"
        self._ignore = ignore
        self._honest = honest
        self._names = {path: File(bytearray(data), [], len(data)) for path, data in base.items()}
        self._durable = dict(self._names)
        self._namings = []
        self._positions = {}  # descriptor -> offset of the next write, None where it is not known

    # From calls

    def enter(self, call):
        """A call was entered. It may have had its effect from now on."""
        act = self._ACTIONS.get(call.name)
        if act is not None:
            act(self, call)
        elif call.ok and any(self._root in text for text in self._named_in(call)):
            raise TraceError(
                f"{call.name} at line {call.begun + 1} changes files in a way that is not rebuilt"
            )

    def leave(self, call):
        """A call returned. Only syncs matter then."""
        if call.name not in ("fsync", "fdatasync") or call.result != 0 or not self._honest:
            return
        path = self._inside(descriptor(call.args[0])[1])
        if path is None:
            return
        file = self._names.get(path)
        if file is not None:
            file.sync(call.begun)
            return
        left = []
        for naming in self._namings:
            if naming.ended is not None and naming.ended < call.begun:
                naming.folders.discard(path)
            if naming.folders:
                left.append(naming)
            else:
                naming.apply(self._durable)
        self._namings = left

    def _named_in(self, call):
        for arg in call.args:
            if "<" in arg:
                yield descriptor(arg)[1]
            elif arg.startswith('"'):
                yield content(arg).decode()

    def _inside(self, path):
        """The path relative to the root ("" for the root itself), or None."""
        if path + "/" == self._root:
            return ""
        if not path.startswith(self._root):
            return None
        relative = path[len(self._root) :]
        return None if self._ignore(relative) else relative

    def _path(self, call, text, folder=None):
        """The path that a call names, relative to the root or None. `folder`: its descriptor argument."""
        name = content(text).decode()
        if folder is not None:
            name = posixpath.join(descriptor(folder)[1], name)
        return self._inside(posixpath.normpath(name))

    def _openat(self, call):
        if not call.ok or call.result is None:
            return
        self._positions[call.result] = 0
        path, flags = self._path(call, call.args[1], call.args[0]), call.args[2].split("|")
        if path is None or "O_DIRECTORY" in flags:
            return
        if path not in self._names and "O_CREAT" in flags:
            self._name(call, "", path, File())
        file = self._names.get(path)
        if file is not None and "O_TRUNC" in flags:
            self._change(call, file, 0, None)
        if "O_RDWR" in flags or "O_APPEND" in flags:
            self._positions[call.result] = None  # reads move it too, or it is always the end

    def _write(self, call):
        number, name = descriptor(call.args[0])
        file = self._names.get(self._inside(name) or "")
        if file is None or not self._happened(call):
            return
        offset = self._positions.get(number)
        if offset is None:
            raise TraceError(f"write at line {call.begun + 1}: where in {name} is not known")
        data = self._data(call)
        self._positions[number] = offset + len(data)
        self._change(call, file, offset, data)

    def _lseek(self, call):
        if call.ok:
            self._positions[descriptor(call.args[0])[0]] = call.result

    def _pwrite(self, call):
        file = self._names.get(self._inside(descriptor(call.args[0])[1]) or "")
        if file is not None and self._happened(call):
            self._change(call, file, int(call.args[3]), self._data(call))

    def _data(self, call):
        data = content(call.args[1])
        return data if call.result is None else data[: call.result]

    def _ftruncate(self, call):
        file = self._names.get(self._inside(descriptor(call.args[0])[1]) or "")
        if file is not None and self._happened(call):
            self._change(call, file, int(call.args[1]), None)

    def _fallocate(self, call):
        file = self._names.get(self._inside(descriptor(call.args[0])[1]) or "")
        if file is None or not self._happened(call):
            return
        if call.args[1] != "0":
            raise TraceError(f"fallocate at line {call.begun + 1} with {call.args[1]} is not rebuilt")
        size = int(call.args[2]) + int(call.args[3])
        if size > file.size:
            self._change(call, file, size, None)

    def _happened(self, call):
        """Whether it did something, or (never returned) may have."""
        return call.ok or call.result is None

    def _change(self, call, file, offset, data):
        file.pending.append(Change(call.begun, call.ended, offset, data))
        file.size = offset if data is None else max(file.size, offset + len(data))

    def _rename(self, call):
        args = call.args
        if call.name == "rename":
            old, new = self._path(call, args[0]), self._path(call, args[1])
        else:
            old, new = self._path(call, args[1], args[0]), self._path(call, args[3], args[2])
        if not self._happened(call) or (old is None and new is None):
            return
        if old is None or new is None:
            raise TraceError(f"rename at line {call.begun + 1} leads in or out of the folder")
        self._name(call, old, new, self._names.get(old))

    def _unlink(self, call):
        path = (
            self._path(call, *call.args[1::-1]) if call.name == "unlinkat" else self._path(call, call.args[0])
        )
        if path in self._names and self._happened(call):
            self._name(call, path, "", self._names[path])

    def _name(self, call, old, new, file):
        folders = {posixpath.dirname(path) for path in (old, new) if path}
        naming = Naming(call.begun, call.ended, old, new, file, folders)
        naming.apply(self._names)
        self._namings.append(naming)

    def _mmap(self, call):
        """Writing to a file through memory is not seen: only SQLite's index may do so."""
        if "MAP_SHARED" in call.args[3] and "PROT_WRITE" in call.args[2] and call.ok:
            path = self._inside(descriptor(call.args[4])[1])
            if path is not None and not path.endswith("-shm"):
                raise TraceError(f"mmap at line {call.begun + 1} writes to {path}")

    def _nothing(self, call):
        pass

    _ACTIONS = {  # noqa: RUF012  a table
        "openat": _openat,
        "write": _write,
        "lseek": _lseek,
        "pwrite64": _pwrite,
        "ftruncate": _ftruncate,
        "fallocate": _fallocate,
        "rename": _rename,
        "renameat": _rename,
        "renameat2": _rename,
        "unlink": _unlink,
        "unlinkat": _unlink,
        "mkdir": _nothing,
        "mkdirat": _nothing,
        "rmdir": _nothing,
        "mmap": _mmap,
        "fsync": _nothing,
        "fdatasync": _nothing,
    }

    # To files

    def now(self):
        """The files as the process sees them: path -> bytes."""
        found = {}
        for path, file in self._names.items():
            data = bytearray(file.content)
            for change in file.pending:
                apply(data, change.offset, change.data)
            found[path] = bytes(data)
        return found

    @property
    def pending(self):
        """How many changes a cut may drop."""
        return len(self._namings) + sum(len(file.pending) for file in set(self._names.values()))

    def after_a_cut(self, rng, mode):
        """The files as a disk may hold them when the power fails now: path -> bytes."""
        files = {*self._names.values(), *self._durable.values(), *(each.file for each in self._namings)}
        changes = sorted(
            (change for file in files - {None} for change in file.pending), key=lambda change: change.begun
        )
        keep = _choose(rng, mode, changes + self._namings)
        names = dict(self._durable)
        for naming in self._namings:
            if keep(naming) > 0:
                naming.apply(names)
        return {path: _content(rng, file, keep) for path, file in names.items()}


def _choose(rng, mode, changes):
    """A function that says of each change how much of it is there: 0 nothing, 1 all, 0.5 some sectors."""
    if mode == "prefix":
        places = sorted(change.begun for change in changes)
        last = rng.choice(places) if places else 0
        return lambda change: 1 if change.begun < last else 0.5 if change.begun == last else 0
    chance = {"none": [0], "all": [1], "subset": [0, 1], "torn": [0, 0.5, 1]}[mode]
    chosen = {id(change): rng.choice(chance) for change in changes}
    return lambda change: chosen[id(change)]


def _content(rng, file, keep):
    data = bytearray(file.content)
    for change in file.pending:
        share = keep(change)
        if share == 1 or (share and change.data is None):
            apply(data, change.offset, change.data)
        elif share:
            for offset, piece in sectors(change.offset, change.data):
                if rng.random() < share:
                    apply(data, offset, piece)
    return bytes(data)


def sectors(offset, data):
    """A write cut at sector boundaries: (offset, bytes) pairs."""
    begin = 0
    while begin < len(data):
        end = min(len(data), begin + SECTOR - (offset + begin) % SECTOR)
        yield offset + begin, data[begin:end]
        begin = end


def about(calls, root):
    """Those of the calls that name something in the folder: between the others nothing happens to it."""
    name = "".join(f"\\x{byte:02x}" for byte in root.encode())
    return [call for call in calls if name in call.shown or any(name in arg for arg in call.args)]


class Replay:
    """Feeds the calls of a trace to a Disk in the order of the trace, up to any line."""

    def __init__(self, disk, calls):
        self.disk = disk
        self._places = []
        for call in calls:
            self._places.append((call.begun, 0, call))
            if call.ended is not None:
                self._places.append((call.ended, 1, call))
        self._places.sort(key=lambda place: place[:2])
        self._times = {line: call.left if returned else call.at for line, returned, call in self._places}
        self._next = 0

    def advance(self, line):
        """Go on to the line with that number, included."""
        while self._next < len(self._places) and self._places[self._next][0] <= line:
            _, returned, call = self._places[self._next]
            (self.disk.leave if returned else self.disk.enter)(call)
            self._next += 1

    @property
    def lines(self):
        """The lines at which something happens."""
        return sorted(self._times)

    def time_of(self, line):
        """When that happened, in seconds of the real-time clock."""
        return self._times[line]

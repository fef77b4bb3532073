"""The rows of a damaged database: each tree from its root, then the pages that lost their way to a root.

Every page is taken once, by the first tree whose rows it can hold, and looked at a few times at most: the
work grows with the file and no faster, however it was made. What does not look like a row of its table is
left out: a salvaged row is one that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edgecore.store.btree import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    INTERIOR,
    TABLE_INTERIOR,
    TABLE_LEAF,
    Cell,
    Page,
    Value,
    decode_record,
    in_order,
    parse_page,
)
from edgecore.store.pages import Pages

# SQLite's own limit on the depth of a tree (BTCURSOR_MAX_DEPTH): 20 levels hold more than any disk.
DEEPEST: Final = 20
# No record of ours is larger than MQTT's largest packet and what is kept beside it.
LONGEST_RECORD: Final = 257 * 1024 * 1024
# One way leads to a page of a sound file. More are tried, for one of them may be wrong, but not without end.
MOST_TRIES: Final = 8
# Where the freelist begins and how many pages it has, in the header of the file.
FREELIST: Final = 32

Key = tuple[Value, ...]
Row = tuple[int, tuple[Value, ...]]  # the rowid (0 where there is none) and the values as stored

_UNSEEN: Final = 0
_TAKEN: Final = 1
_FREE: Final = 2


@dataclass(frozen=True, slots=True)
class Tree:
    """What the rows of a table or an index look like on disk.

    `types`: what each stored column may hold. `least`: columns that every row has. `keys`: how many of them,
    at the front, are the key; 0 where it is the rowid. `ordered`: keys are plain and growing. `proof`: for
    rows that carry one. `marks`: one of these is on every page of it, if any are given.
    """

    name: str
    types: tuple[frozenset[type], ...]
    least: int
    keys: int
    ordered: bool = True
    proof: Callable[[tuple[Value, ...]], bool] | None = None
    marks: tuple[bytes, ...] = ()

    def key(self, row: Row) -> Key:
        """What orders the row in its tree."""
        return row[1][: self.keys] if self.keys else (row[0],)

    def holds(self, types: tuple[type, ...]) -> bool:
        """Whether values of these types can be a row, or the beginning of one."""
        return all(each in allowed for each, allowed in zip(types, self.types, strict=False))


@dataclass(slots=True)
class _Content:
    """A page, and beside each cell what it holds: the values, the overflow pages that they take."""

    page: Page
    values: list[tuple[Value, ...] | None]
    chains: list[list[int]]


@dataclass(slots=True)
class _Taken:
    number: int
    content: _Content
    rows: list[Row | None]  # beside the page's cells


class Walk:
    """One pass over the pages. Counts what made no sense on the way.

    `gaps`: trees that lack pages. `lost_rows`: cells that did not hold a row. `disputed`: keys of rows given
    out that shared an overflow page with another: which of the two wrote it, nothing tells.
    """

    def __init__(self, pages: Pages) -> None:
        self.gaps: set[str] = set()
        self.lost_rows = 0
        self.disputed: list[tuple[Tree, Key]] = []
        self._pages = pages
        self._bad: set[int] = set()
        self._states = bytearray(pages.count + 1)
        self._tries = bytearray(pages.count + 1)
        self._chained = 0  # overflow pages read
        self._owners: dict[
            int, tuple[Tree, Key, int]
        ] = {}  # of overflow pages: by key, and a hash of the row
        self._fitting: dict[tuple[str, tuple[type, ...]], bool] = {}
        self._freelist_is_whole = self._read_freelist()

    @property
    def lost_pages(self) -> int:
        """Pages that were wanted and could not be read, or made no sense."""
        return len(self._bad | self._pages.unread)

    def rows(self, tree: Tree, roots: Sequence[int]) -> Iterator[list[Row]]:
        """The rows of the tree at the first of `roots` that is one, page by page."""
        for root in roots:
            if (taken := self._take(tree, root, None, None)) is not None:
                yield from self._below(tree, taken, None, None, 1)
                return
        self.gaps.add(tree.name)

    def orphans(self, trees: Sequence[Tree]) -> Iterator[tuple[Tree, list[Row]]]:
        """The rows of pages that no tree leads to any more, where only one of `trees` can have held them.

        Of several, one that lacks pages. A freelist that cannot be read may be why nothing leads to a page:
        it was deleted, and only a tree with a gap may have it.
        """
        lacking = [tree for tree in trees if tree.name in self.gaps]
        candidates = list(trees) if self._freelist_is_whole else lacking
        for number in range(1, self._pages.count + 1) if candidates else ():
            if self._states[number] != _UNSEEN or not self._may_be_of(candidates, number):
                continue
            if (content := self._read(number)) is not None:
                found = [(tree, rows) for tree in candidates if any(rows := self._fit(tree, content))]
                wanting = [each for each in found if each[0] in lacking] if len(found) > 1 else found
                if len(wanting) == 1:
                    tree, rows = wanting[0]
                    undisputed = len(self.disputed)
                    yield tree, self._claim(tree, _Taken(number, content, rows))
                    # Against a row that its tree leads to, a stray one has no say.
                    del self.disputed[undisputed:]

    def _may_be_of(self, trees: list[Tree], number: int) -> bool:
        """Whether the page is worth parsing: most are not, when only one small table is looked for."""
        data = self._pages.read(number)
        return data is not None and any(
            not tree.marks or any(mark in data for mark in tree.marks) for tree in trees
        )

    def _below(
        self, tree: Tree, taken: _Taken, low: Key | None, high: Key | None, depth: int
    ) -> Iterator[list[Row]]:
        page = taken.content.page
        rows = self._claim(tree, taken)
        if rows:
            yield rows
        if page.kind not in INTERIOR:
            return
        if page.senseless:
            self.gaps.add(tree.name)
        bounds = [_bound(tree, cell, row) for cell, row in zip(page.cells, taken.rows, strict=True)]
        children = [*(cell.child for cell in page.cells), page.right]
        for child, below, above in zip(children, [low, *bounds], [*bounds, high], strict=True):
            found = self._take(tree, child, below, above) if depth < DEEPEST else None
            if found is None:
                self.gaps.add(tree.name)
            else:
                yield from self._below(tree, found, below, above, depth + 1)

    def _take(self, tree: Tree, number: int, low: Key | None, high: Key | None) -> _Taken | None:
        """The page, if it is free to take and can be one of the tree, between these keys."""
        if not 0 < number <= self._pages.count:
            return None
        if self._states[number] == _TAKEN or self._tries[number] == MOST_TRIES:
            return None
        self._tries[number] += 1
        content = self._read(number)
        if content is None or content.page.kind not in _kinds(tree):
            self._bad.add(number)
            return None
        rows = self._fit(tree, content)
        page = content.page
        if page.kind != TABLE_INTERIOR and (page.cells or page.senseless) and not any(rows):
            self._bad.add(number)
            return None
        taken = _Taken(number, content, rows)
        return taken if _is_between(tree, taken, low, high) else None

    def _read(self, number: int) -> _Content | None:
        data = self._pages.read(number)
        page = parse_page(data, number) if data is not None else None
        if data is None or page is None:
            return None
        content = _Content(page, [], [])
        for cell in page.cells:
            payload, chain = self._payload(data, cell)
            content.values.append(decode_record(payload) if payload else None)
            content.chains.append(chain)
        return content

    def _payload(self, data: bytes, cell: Cell) -> tuple[bytes, list[int]]:
        """The whole payload of a cell, or none; and the overflow pages that it takes."""
        local = data[cell.start : cell.end]
        if not cell.overflow:
            return local, []
        left = cell.size - len(local)
        if cell.size > min(LONGEST_RECORD, self._pages.count * self._pages.size):
            return b"", []
        parts = [local]
        chain: dict[int, None] = {}
        number = cell.overflow
        while left > 0:
            page = self._follow(number, chain)
            if page is None:
                return b"", list(chain)
            parts.append(page[4 : 4 + left])
            left -= len(page) - 4
            number = _word(page, 0)
        return (b"" if number else b"".join(parts)), list(chain)

    def _follow(self, number: int, chain: dict[int, None]) -> bytes | None:
        """The overflow page `number`, joined to the chain; None when it cannot be the next of it."""
        if number in chain or self._chained > MOST_TRIES * self._pages.count:
            return None
        self._chained += 1
        page = self._pages.read(number)
        if page is not None:
            chain[number] = None
        return page

    def _fit(self, tree: Tree, content: _Content) -> list[Row | None]:
        """The rows of the tree that the page holds, beside its cells."""
        rows: list[Row | None] = []
        if content.page.kind not in _kinds_with_rows(tree):
            return [None] * len(content.values)
        for cell, values in zip(content.page.cells, content.values, strict=True):
            fits = values is not None and self._fits(tree, values)
            rows.append((cell.rowid, values) if fits and values is not None else None)
        if tree.ordered:
            _drop_disorder(tree, rows)
        return rows

    def _fits(self, tree: Tree, values: tuple[Value, ...]) -> bool:
        if not tree.least <= len(values) <= len(tree.types):
            return False
        shape = (tree.name, tuple(map(type, values)))
        known = self._fitting.get(shape)
        if known is None:
            known = self._fitting[shape] = tree.holds(shape[1])
        return known and (tree.proof is None or tree.proof(values))

    def _claim(self, tree: Tree, taken: _Taken) -> list[Row]:
        """Mark the page, and its rows' overflow pages, as taken; gives the rows whose pages were not."""
        self._states[taken.number] = _TAKEN
        self._bad.discard(taken.number)
        kept = []
        for row, chain in zip(taken.rows, taken.content.chains, strict=True):
            if (not chain or self._claim_chain(tree, row, chain)) and row is not None:
                kept.append(row)
        page = taken.content.page
        expected = 0 if page.kind == TABLE_INTERIOR else len(page.cells)
        self.lost_rows += expected + page.senseless - len(kept)
        return kept

    def _claim_chain(self, tree: Tree, row: Row | None, chain: list[int]) -> bool:
        held = [number for number in chain if self._states[number] != _UNSEEN]
        owners = [owner for number in held if (owner := self._owners.get(number)) is not None]
        mine = hash(row)
        # An old copy of the same page says the same: no dispute.
        self.disputed += [(owner, key) for owner, key, other in owners if row is None or other != mine]
        if held or row is None:
            return False
        for number in chain:
            self._states[number] = _TAKEN
            self._owners[number] = (tree, tree.key(row), mine)
        return True

    def _read_freelist(self) -> bool:
        """Mark the free pages; False, and none marked, when they are not as many as the header says."""
        header = self._pages.header()
        number, count = _word(header, FREELIST), _word(header, FREELIST + 4)
        free: set[int] = set()
        most = self._pages.size // 4 - 2
        while number and number not in free and number <= self._pages.count:
            trunk = self._pages.read(number)
            if trunk is None or _word(trunk, 4) > most:
                return False
            free.add(number)
            free.update(_word(trunk, 8 + 4 * i) for i in range(_word(trunk, 4)))
            number = _word(trunk, 0)
        if number or len(free) != count or not all(0 < each <= self._pages.count for each in free):
            return False
        for each in free:
            self._states[each] = _FREE
        return True


def _kinds(tree: Tree) -> tuple[int, ...]:
    return (INDEX_LEAF, INDEX_INTERIOR) if tree.keys else (TABLE_LEAF, TABLE_INTERIOR)


def _kinds_with_rows(tree: Tree) -> tuple[int, ...]:
    return (INDEX_LEAF, INDEX_INTERIOR) if tree.keys else (TABLE_LEAF,)


def _bound(tree: Tree, cell: Cell, row: Row | None) -> Key | None:
    """The key that parts what is left of the cell from what is right of it, where it is known."""
    if not tree.keys:
        return (cell.rowid,)
    return tree.key(row) if row is not None else None


def _is_between(tree: Tree, taken: _Taken, low: Key | None, high: Key | None) -> bool:
    """Whether some of the page lies between the keys: else the way to it went wrong, or a key."""
    if not tree.ordered or (low is None and high is None):
        return True
    if taken.content.page.kind == TABLE_INTERIOR:
        keys: list[Key] = [(cell.rowid,) for cell in taken.content.page.cells]
    else:
        keys = [tree.key(row) for row in taken.rows if row is not None]
    if not keys:
        return True
    return (low is None or keys[-1] > low) and (high is None or keys[0] <= high)


def _drop_disorder(tree: Tree, rows: list[Row | None]) -> None:
    present = [(index, row) for index, row in enumerate(rows) if row is not None]
    keys = [tree.key(row) for _, row in present]
    if all(one < other for one, other in pairwise(keys)):
        return
    kept = set(in_order([index for index, _ in present], keys))
    for index, _ in present:
        if index not in kept:
            rows[index] = None


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")

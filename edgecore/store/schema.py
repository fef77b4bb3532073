"""The tables of a damaged database: found in its bytes, made again in a new one, and nothing but tables.

SQL text from a damaged file may be anything. SQLite itself judges it, in the new file, under an
authorizer that lets a statement make a plain table or index: no trigger, no view, no virtual table, no
function, no query. The shape of the rows is then asked from the new table, not guessed from the text.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgecore.store import catalogue, migrate
from edgecore.store.walk import Tree, Walk

log = logging.getLogger(__name__)

# Ours are about ten; a file that says it has thousands would have each page tried for each.
MOST_TABLES: Final = 100
# A statement of ours has less than a thousand characters.
LONGEST_SQL: Final = 10_000
SEQUENCE: Final = "sqlite_sequence"

# A default that is computed would be computed by every row that lacks its column.
_LITERAL: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?|'([^']|'')*'|[xX]'[0-9A-Fa-f]*'|NULL")

_NOTHING: Final = type(None)
_ANY: Final[frozenset[type]] = frozenset({int, float, str, bytes, _NOTHING})
# What a column may hold by its declared type, as a STRICT table would have it. The rooms keep to it.
_DECLARED: Final[Mapping[str, frozenset[type]]] = {
    "INTEGER": frozenset({int}),
    "INT": frozenset({int}),
    "TEXT": frozenset({str}),
    "BLOB": frozenset({bytes}),
    "REAL": frozenset({float, int}),  # a whole number is stored as an integer
}

MASTER: Final = Tree(
    "sqlite_master",
    (*[frozenset({str})] * 3, frozenset({int, _NOTHING}), frozenset({str, _NOTHING})),
    least=5,
    keys=0,
)
CATALOGUE: Final = Tree(
    catalogue.NAME,
    (frozenset({str}), frozenset({int}), frozenset({str}), frozenset({str})),
    least=4,
    keys=1,
    proof=catalogue.is_proven,
    marks=(b"CREATE ", catalogue.STEP.encode()),
)
SEQUENCES: Final = Tree(SEQUENCE, (frozenset({str}), frozenset({int})), least=2, keys=0)

_ALLOWED: Final = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_READ,  # of the columns that a rule names; a query asks for SELECT as well
    }
)


@dataclass(slots=True)
class Schema:
    """What was found: the statement of each table and index, the roots that each may have, steps that ran.

    `whole`: nothing of it is missing, as far as can be known.
    """

    statements: dict[str, str] = field(default_factory=dict)
    roots: dict[str, list[int]] = field(default_factory=dict)
    steps: list[tuple[str, int, str]] = field(default_factory=list)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the new database. `columns`: as stored; `alias`: the place of the one that is the rowid."""

    tree: Tree
    columns: tuple[str, ...]
    alias: int
    indexes: tuple[Tree, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return self.tree.name


def read_schema(walk: Walk, known: Mapping[str, str]) -> Schema:
    """The schema by the first page and by the catalogue, which wins where they differ.

    `known`: for a file whose tables never change, their statements: no others are then brought.
    """
    master = [values for rows in walk.rows(MASTER, [1]) for _, values in rows]
    schema = Schema(whole=MASTER.name not in walk.gaps and not walk.lost_rows)
    for kind, name, _, root, sql in master:
        if kind in ("table", "index") and isinstance(root, int) and root > 0:
            schema.statements[str(name)] = str(sql or "")
            schema.roots[str(name)] = [root]
    if known:
        return _only(schema, known)
    _prefer_catalogue(schema, _catalogue_rows(walk, schema.roots.get(catalogue.NAME, [])))
    return schema


def _only(schema: Schema, known: Mapping[str, str]) -> Schema:
    """The known tables. A name may be what was damaged, so every root that was found may be theirs."""
    every = [root for roots in schema.roots.values() for root in roots]
    names = [*known, *(f"sqlite_autoindex_{name}_1" for name in known)]
    roots = {name: [*schema.roots.get(name, []), *every] for name in names}
    return Schema(dict(known), roots, [], schema.whole)


def _catalogue_rows(walk: Walk, roots: list[int]) -> list[catalogue.Row]:
    found = [row for rows in walk.rows(CATALOGUE, roots) for row in rows]
    if CATALOGUE.name in walk.gaps:
        found += [row for _, rows in walk.orphans([CATALOGUE]) for row in rows]
    return [(str(name), int(str(root)), str(content), "") for _, (name, root, content, _) in found]


def _prefer_catalogue(schema: Schema, rows: Iterable[catalogue.Row]) -> None:
    proven = {}
    for name, root, content, _ in rows:
        if name.startswith(catalogue.STEP):
            number, room = name.removeprefix(catalogue.STEP).split(" ", 1)
            schema.steps.append((room, int(number), content))
        else:
            proven[name] = root
            schema.statements[name] = content
            schema.roots[name] = [*dict.fromkeys([*schema.roots.get(name, []), root])]
    # A row of the first page whose name was altered leads to the pages of the true name.
    taken = set(proven.values())
    for name in [each for each in schema.roots if each not in proven and taken & set(schema.roots[each])]:
        del schema.roots[name], schema.statements[name]
    schema.whole = schema.whole or bool(proven)
    if migrate.NAME in schema.statements:
        schema.statements[migrate.NAME] = migrate.TABLE.lstrip()  # of this, no copy is needed


def make_tables(connection: sqlite3.Connection, schema: Schema) -> list[Table]:
    """Make the plain tables and indexes of the schema in the new database; what is not plain is left out."""
    ours = {
        name: sql
        for name, sql in schema.statements.items()
        # SQLite's own come by themselves, and the catalogue is written anew.
        if sql and name != catalogue.NAME and not name.startswith("sqlite_")
    }
    tables = [name for name, sql in ours.items() if sql.startswith("CREATE TABLE")][:MOST_TABLES]
    indexes = [name for name, sql in ours.items() if not sql.startswith("CREATE TABLE")][:MOST_TABLES]
    connection.set_authorizer(_only_plain)
    try:
        for name in [*tables, *indexes]:
            _make(connection, name, ours[name])
    finally:
        connection.set_authorizer(None)
    # By what is there now: a statement may have made something of another name.
    made = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found = {name: _shape(connection, name) for name in tables if name in made}
    for name in [name for name, shape in found.items() if shape is None]:
        connection.execute(f"DROP TABLE {quoted(name)}")
    return [shape for shape in found.values() if shape is not None]


def _only_plain(action: int, first: str | None, *_: str | None) -> int:
    # Into the schema only: that is how a statement makes a table.
    if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE):
        return sqlite3.SQLITE_OK if first in ("sqlite_master", SEQUENCE) else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _make(connection: sqlite3.Connection, name: str, sql: str) -> None:
    if len(sql) > LONGEST_SQL or not sql.startswith(("CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX")):
        log.error("a damaged database has %r, which is no table of edgecore: left out", name)
        return
    try:
        connection.execute(sql)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        log.warning("a damaged database has a table %r that cannot be made again (%s): left out", name, error)


def quoted(name: str) -> str:
    """The name as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def _shape(connection: sqlite3.Connection, name: str) -> Table | None:
    """How the table's rows look on disk; None when no row can be written to it as it was stored."""
    info = connection.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
    if any(hidden or not _LITERAL.fullmatch(default or "0") for _, _, _, _, default, _, hidden in info):
        log.error("a damaged database has computed columns or defaults in %r: left out", name)
        return None
    listed = connection.execute(f"PRAGMA index_list({quoted(name)})").fetchall()
    (clustered,) = connection.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
    ).fetchone()
    types = [_types(declared, required) for _, _, declared, required, _, _, _ in info]
    trees = {index: _index_tree(connection, index, types) for _, index, *_ in listed}
    by_key = next((index for _, index, _, origin, _ in listed if origin == "pk"), "") if clustered else ""
    indexes = tuple(tree for index, tree in trees.items() if tree is not None and index != by_key)
    if clustered:
        return _clustered(connection, name, info, types, by_key, indexes)
    keys = [cid for cid, _, _, _, _, place, _ in info if place]
    alias = keys[0] if len(keys) == 1 and info[keys[0]][2].upper() == "INTEGER" else -1
    if alias >= 0:
        types[alias] = frozenset({_NOTHING})  # its value is the rowid
    needed = [i for i, (_, _, _, required, default, _, _) in enumerate(info) if required and default is None]
    tree = Tree(name, tuple(types), max([alias, *needed, 0]) + 1, keys=0)
    return Table(tree, tuple(column for _, column, *_ in info), alias, indexes)


def _clustered(
    connection: sqlite3.Connection,
    name: str,
    info: list[tuple[int, str, str, int, str | None, int, int]],
    types: list[frozenset[type]],
    by_key: str,
    indexes: tuple[Tree, ...],
) -> Table | None:
    """A table WITHOUT ROWID: its key's columns come first, then the others."""
    order = connection.execute(f"PRAGMA index_xinfo({quoted(by_key)})").fetchall()
    keys = sum(key for *_, key in order)
    if [cid for _, cid, *_ in order[:keys]] != list(range(keys)):
        log.error("a damaged database has a key that is not in front in %r (see migrate.py): left out", name)
        return None
    stored = [types[cid] - {_NOTHING} if key else types[cid] for _, cid, _, _, _, key in order]
    needed = [i for i, (_, cid, *_) in enumerate(order) if info[cid][3] and info[cid][4] is None]
    ordered = _is_ordered(order, stored)
    tree = Tree(name, tuple(stored), max([keys - 1, *needed]) + 1, keys, ordered)
    return Table(tree, tuple(column for _, _, column, *_ in order), -1, indexes)


def _index_tree(connection: sqlite3.Connection, index: str, types: list[frozenset[type]]) -> Tree | None:
    """An index's entries: its columns, then the rowid or the rest of the key. None with an expression."""
    order = connection.execute(f"PRAGMA index_xinfo({quoted(index)})").fetchall()
    if any(cid < -1 for _, cid, *_ in order):
        return None
    stored = tuple(types[cid] if cid >= 0 else frozenset({int}) for _, cid, *_ in order)
    return Tree(index, stored, len(stored), len(stored), _is_ordered(order, stored))


def _types(declared: str, required: int) -> frozenset[type]:
    allowed: frozenset[type] = _DECLARED.get(declared.upper(), _ANY)
    return allowed - {_NOTHING} if required else allowed | {_NOTHING}


def _is_ordered(order: list[tuple[int, int, str, int, str, int]], stored: Iterable[frozenset[type]]) -> bool:
    """Whether Python's order of the keys is SQLite's: growing, plain collation, one type in each place."""
    plain = all(
        not descending and (collation or "BINARY") == "BINARY" for _, _, _, descending, collation, _ in order
    )
    numbers = frozenset({int, float})
    return plain and all(len(types) == 1 or types <= numbers for types in stored)

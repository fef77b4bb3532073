"""The rows of a damaged tree, and the bounds on what a file made for mischief can cost."""

import sqlite3
import struct

import pytest

from edgecore.store.btree import TABLE_LEAF, parse_page
from edgecore.store.pages import open_pages
from edgecore.store.walk import MOST_TRIES, Tree, Walk

INT, BLOB = frozenset({int}), frozenset({bytes})
NONE = frozenset({type(None)})
CLUSTERED = Tree("c", (INT, BLOB), least=2, keys=1)
PLAIN = Tree("p", (NONE, BLOB), least=2, keys=0)
ROWS = 400


def body(x):
    return x.to_bytes(4, "big") * (1500 if x % 50 == 49 else 60)  # some overflow


@pytest.fixture
def path(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("CREATE TABLE c (x INTEGER NOT NULL PRIMARY KEY, y BLOB NOT NULL) WITHOUT ROWID")
    connection.execute("CREATE TABLE p (x INTEGER PRIMARY KEY, y BLOB NOT NULL)")
    connection.execute("BEGIN")
    for table in "cp":
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(x, body(x)) for x in range(ROWS)])
    connection.execute("COMMIT")
    connection.close()
    return tmp_path / "x.db"


def roots(path):
    with sqlite3.connect(path) as connection:
        found = dict(connection.execute("SELECT name, rootpage FROM sqlite_master"))
    connection.close()
    return found


def all_rows(path, roots, trees=(CLUSTERED, PLAIN)):
    """The rows of each tree as (x, y), also those that strayed; and the walk."""
    found = {tree.name: [] for tree in trees}
    with open_pages(path) as pages:
        walk = Walk(pages)
        for tree in trees:
            for rows in walk.rows(tree, [roots[tree.name]]):
                found[tree.name] += rows
        for tree, rows in walk.orphans(trees):
            found[tree.name] += rows
    return {
        "c": {values for _, values in found["c"]} if "c" in found else set(),
        "p": {(rowid, values[1]) for rowid, values in found["p"]} if "p" in found else set(),
    }, walk


EVERY = {(x, body(x)) for x in range(ROWS)}


def damage(path, number, change):
    content = bytearray(path.read_bytes())
    page = content[(number - 1) * 4096 : number * 4096]
    content[(number - 1) * 4096 : number * 4096] = change(page) or page
    path.write_bytes(content)


def test_a_sound_file(path):
    found, walk = all_rows(path, roots(path))
    assert found == {"c": EVERY, "p": EVERY}
    assert (walk.gaps, walk.lost_rows, walk.lost_pages, walk.disputed) == (set(), 0, 0, [])


@pytest.mark.parametrize("table", ["c", "p"])
def test_a_lost_root_costs_what_lay_on_it_alone(path, table):
    where = roots(path)
    damage(path, where[table], lambda page: bytes(4096))
    found, walk = all_rows(path, where)
    other = "p" if table == "c" else "c"
    assert found[other] == EVERY
    assert found["p"] == EVERY  # the inner pages of a rowid table hold no rows
    assert EVERY - found["c"] == set() if table == "p" else 0 < len(EVERY - found["c"]) < 20
    assert walk.gaps == {table}
    assert walk.lost_pages == 1


def test_a_pointer_to_a_page_of_another_tree(path):
    where = roots(path)

    def change(page):
        struct.pack_into(">I", page, 8, where["p"])  # the rightmost child

    damage(path, where["c"], change)
    found, walk = all_rows(path, where)
    assert found == {"c": EVERY, "p": EVERY}
    assert walk.gaps == {"c"}


def test_a_pointer_in_a_circle(path):
    where = roots(path)

    def change(page):
        struct.pack_into(">I", page, 8, where["c"])

    damage(path, where["c"], change)
    found, _ = all_rows(path, where)
    assert found["c"] == EVERY


def overflow_pointers(path):
    """Where the plain table's rows that overflow say on which page they go on: by rowid, in the file."""
    content, found = path.read_bytes(), {}
    for number in range(1, len(content) // 4096 + 1):
        page = parse_page(content[(number - 1) * 4096 : number * 4096], number)
        if page is not None and page.kind == TABLE_LEAF:
            found |= {cell.rowid: (number - 1) * 4096 + cell.end for cell in page.cells if cell.overflow}
    return found


def test_two_rows_that_claim_one_overflow_page_are_both_doubtful(path):
    where, pointers, content = roots(path), overflow_pointers(path), bytearray(path.read_bytes())
    one, two = pointers[49], pointers[99]
    content[one : one + 4] = content[two : two + 4]
    path.write_bytes(content)
    found, walk = all_rows(path, where)
    # The first was given out with the other's bytes before the other came, which was then held back.
    assert walk.disputed == [(PLAIN, (49,))]
    assert {x for x, _ in EVERY} - {x for x, _ in found["p"]} == {99}
    assert found["p"] - EVERY == {(49, next(y for x, y in found["p"] if x == 49))}


def test_an_altered_key_costs_its_row_alone(path):
    where = roots(path)
    content = bytearray(path.read_bytes())
    # Rows lie on the page from its end to its front: one with both its neighbours beside it.
    place = {x: content.index(x.to_bytes(2, "big") + body(x)) for x in range(200, 210)}
    middle = next(x for x in range(201, 209) if place[x - 1] > place[x] > place[x + 1] > place[x - 1] - 1000)
    content[place[middle]] ^= 0x40
    path.write_bytes(content)
    found, walk = all_rows(path, where)
    assert EVERY - found["c"] == {(middle, body(middle))}
    assert found["c"] < EVERY
    assert walk.lost_rows == 1


def test_a_free_page_is_not_brought_back(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE p (x INTEGER PRIMARY KEY, y BLOB NOT NULL)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO p VALUES (?, ?)", [(x, body(x)) for x in range(ROWS)])
    connection.execute("COMMIT")
    connection.execute("DELETE FROM p WHERE x BETWEEN 100 AND 300")
    connection.close()
    left = {(x, y) for x, y in EVERY if not 100 <= x <= 300}
    found, _ = all_rows(tmp_path / "x.db", {"p": 2}, (PLAIN,))
    assert found["p"] == left
    # With the freelist lost, stray pages are only asked for where a tree has a gap.
    content = bytearray((tmp_path / "x.db").read_bytes())
    struct.pack_into(">I", content, 36, 1)
    (tmp_path / "x.db").write_bytes(content)
    found, _ = all_rows(tmp_path / "x.db", {"p": 2}, (PLAIN,))
    assert found["p"] == left


def test_a_row_of_another_shape_is_not_of_the_table(path):
    narrow = Tree("c", (INT, frozenset({str})), least=2, keys=1)
    with open_pages(path) as pages:
        walk = Walk(pages)
        assert list(walk.rows(narrow, [roots(path)["c"]])) == []
        assert walk.gaps == {"c"}


def test_a_proof_is_asked(path):
    proven = Tree("c", (INT, BLOB), least=2, keys=1, proof=lambda values: values[0] % 2 == 0)
    found, walk = all_rows(path, roots(path), (proven, PLAIN))
    assert found["c"] == {(x, y) for x, y in EVERY if x % 2 == 0}
    assert walk.lost_rows == ROWS // 2


def test_only_pages_with_a_mark_are_looked_at(path):
    where = roots(path)
    damage(path, where["p"], lambda page: bytes(4096))
    marked = Tree("p", PLAIN.types, least=2, keys=0, marks=(body(7)[:200],))
    found, _ = all_rows(path, where, (marked,))
    assert (7, body(7)) in found["p"]
    assert len(found["p"]) < 40


def test_a_file_made_for_mischief_costs_no_more_than_its_size(tmp_path):
    """Every inner page points everywhere; every cell of every leaf overflows into the one long chain."""
    pages = 60
    content = bytearray(4096)  # a first page that is none
    for _ in range(pages // 2):
        pointers = [index % pages + 1 for index in range(300)]
        cells = b"".join(struct.pack(">I", each) + b"\x01" for each in pointers)
        start = 4096 - len(cells)
        places = [start + 5 * index for index in range(300)]
        head = struct.pack(">BHHHBI", 5, 0, 300, start, 0, 2) + struct.pack(">300H", *places)
        content += (head + bytes(4096 - len(head) - len(cells)) + cells)[:4096]
    for number in range(pages // 2, pages):
        content += struct.pack(">I", number + 2 if number < pages - 2 else 0) + bytes(4092)
    leaf = b"\xff\xff\x7f\x01" + bytes(600)  # a row of 2 MB
    content[4096:8192] = (
        struct.pack(">BHHHB", 13, 0, 6, 100, 0)
        + struct.pack(">6H", *range(200, 3800, 604))
        + leaf * 6
        + bytes(4096 - 20 - 6 * len(leaf))
    )
    (tmp_path / "x.db").write_bytes(content)
    with open_pages(tmp_path / "x.db") as found:
        reads = 0
        real = found.read

        def read(number):
            nonlocal reads
            reads += 1
            return real(number)

        found.read = read
        walk = Walk(found)
        trees = [PLAIN, CLUSTERED]
        for tree in trees:
            assert list(walk.rows(tree, [3, 2, 4])) == []
        assert list(walk.orphans(trees)) == []
    assert reads <= 3 * MOST_TRIES * found.count

"""What a disk may hold after a power cut, from calls that were made up."""

import random

import pytest

from tests.crash.image import MODES, SECTOR, Disk, Replay, about, sectors
from tests.crash.trace import TraceError, parse

ROOT = "/d"


def x(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return "".join(f"\\x{byte:02x}" for byte in raw)


def fd(path, number=3):
    return f"{number}<{x(path)}>"


def pwrite(path, data, offset=0, result=None):
    result = len(data) if result is None else result
    return f'pwrite64({fd(path)}, "{x(data)}", {len(data)}, {offset}) = {result}'


def create(path, flags="O_RDWR|O_CREAT", number=3):
    return f'openat(AT_FDCWD<{x("/")}>, "{x(path)}", {flags}, 0600) = {fd(path, number)}'


def sync(path):
    return f"fdatasync({fd(path)}) = 0"


def rename(old, new):
    return f'rename("{x(old)}", "{x(new)}") = 0'


def unlink(path):
    return f'unlink("{x(path)}") = 0'


def played(*lines, base=None, **options):
    disk = Disk(ROOT, {"a": b"old"} if base is None else base, **options)
    replay = Replay(disk, parse([line if line[0].isdigit() else f"1 1.0 {line}" for line in lines]))
    if replay.lines:
        replay.advance(replay.lines[-1])
    return disk


def possible(disk, *modes, times=200):
    """Every image that some cut gives, as a set of sorted items."""
    rng = random.Random(1)
    return {
        tuple(sorted(disk.after_a_cut(rng, mode).items())) for mode in modes or MODES for _ in range(times)
    }


def contents(disk, path="a", modes=()):
    return {dict(items).get(path) for items in possible(disk, *modes)}


def test_what_was_synced_is_there_and_what_was_not_may_be():
    lines = [pwrite("/d/a", b"one"), sync("/d/a"), pwrite("/d/a", b"two")]
    assert contents(played(*lines[:2])) == {b"one"}
    assert contents(played(*lines[:1])) == {b"old", b"one"}
    disk = played(*lines)
    assert contents(disk) == {b"one", b"two"}
    assert (disk.now(), disk.pending) == ({"a": b"two"}, 1)
    assert contents(disk, modes=["none"]) == {b"one"}
    assert contents(disk, modes=["all"]) == {b"two"}


def test_unsynced_writes_are_there_in_any_subset():
    disk = played(pwrite("/d/a", b"1", 0), pwrite("/d/a", b"2", 1), pwrite("/d/a", b"3", 2))
    found = contents(disk, modes=["subset"])
    assert found == {a + b + c for a in (b"o", b"1") for b in (b"l", b"2") for c in (b"d", b"3")}
    assert contents(disk, modes=["prefix"]) == {b"old", b"1ld", b"12d", b"123"}


def test_an_unsynced_write_is_torn_at_sectors():
    new, old = b"n" * (3 * SECTOR), b"o" * (3 * SECTOR)
    disk = played(pwrite("/d/a", new), base={"a": old})
    found = contents(disk, modes=["torn"])
    pieces = [(old[:SECTOR], new[:SECTOR])] * 3
    assert found == {a + b + c for a in pieces[0] for b in pieces[1] for c in pieces[2]}
    assert [(offset, len(data)) for offset, data in sectors(500, bytes(600))] == [
        (500, 12),
        (512, 512),
        (1024, 76),
    ]


def test_a_hole_before_what_is_there_holds_zeros():
    disk = played(pwrite("/d/a", b"one", 3), pwrite("/d/a", b"two", 6))
    assert b"old\0\0\0two" in contents(disk, modes=["subset"])


def test_a_size_is_a_change_like_others():
    disk = played(f"ftruncate({fd('/d/a')}, 1) = 0", f"fallocate({fd('/d/a')}, 0, 0, 5) = 0")
    assert disk.now() == {"a": b"o\0\0\0\0"}
    assert contents(disk, modes=["subset"]) == {b"old", b"o", b"old\0\0", b"o\0\0\0\0"}
    smaller = played(f"fallocate({fd('/d/a')}, 0, 0, 2) = 0")
    assert smaller.now() == {"a": b"old"}


def test_a_sync_covers_only_what_had_returned_before_it_began():
    begun = f'1 1.0 pwrite64({fd("/d/a")}, "{x("new")}", 3, 0 <unfinished ...>'
    returned = "1 1.0 <... pwrite64 resumed>) = 3"
    assert contents(played(begun, f"2 1.0 {sync('/d/a')}", returned)) == {b"old", b"new"}
    assert contents(played(begun, returned, f"2 1.0 {sync('/d/a')}")) == {b"new"}


def test_a_sync_that_has_not_returned_or_failed_covers_nothing():
    unfinished = f"2 1.0 fdatasync({fd('/d/a')} <unfinished ...>"
    assert contents(played(pwrite("/d/a", b"new"), unfinished)) == {b"old", b"new"}
    failed = f"fdatasync({fd('/d/a')}) = -1 EIO (Input/output error)"
    assert contents(played(pwrite("/d/a", b"new"), failed)) == {b"old", b"new"}


def test_a_write_that_never_returned_may_have_happened_and_one_that_failed_did_not():
    unfinished = f'1 1.0 pwrite64({fd("/d/a")}, "{x("new")}", 3, 0 <unfinished ...>'
    assert contents(played(unfinished)) == {b"old", b"new"}
    full = f'pwrite64({fd("/d/a")}, "{x("new")}", 3, 0) = -1 ENOSPC (No space left on device)'
    assert contents(played(full)) == {b"old"}
    assert contents(played(pwrite("/d/a", b"new", result=1)), modes=["all"]) == {b"nld"}


def test_a_new_name_is_sure_once_its_folder_was_synced():
    lines = [create("/d/b"), pwrite("/d/b", b"x"), sync("/d/b")]
    assert contents(played(*lines), "b") == {None, b"x"}
    assert contents(played(*lines, f"fsync({fd('/d')}) = 0"), "b") == {b"x"}
    other = f"fsync({fd('/d/sub')}) = 0"
    assert contents(played(*lines, other), "b") == {None, b"x"}


def test_a_file_that_was_written_beside_and_renamed_is_the_old_one_or_the_new():
    lines = [create("/d/t"), pwrite("/d/t", b"new"), sync("/d/t"), rename("/d/t", "/d/a")]
    assert contents(played(*lines)) == {b"old", b"new"}
    assert contents(played(*lines, f"fsync({fd('/d')}) = 0")) == {b"new"}


def test_a_rename_without_a_sync_of_the_data_may_leave_an_empty_file():
    assert contents(played(create("/d/t"), pwrite("/d/t", b"new"), rename("/d/t", "/d/a"))) == {
        b"old",
        b"",
        b"new",
    }


def test_a_removal_may_not_have_happened():
    assert contents(played(unlink("/d/a"))) == {b"old", None}
    gone = played(unlink("/d/a"), f"fsync({fd('/d')}) = 0")
    assert contents(gone) == {None}
    by_folder = f'unlinkat({fd("/d")}, "{x("a")}", 0) = 0'
    assert contents(played(by_folder)) == {b"old", None}


def test_a_file_that_came_and_went_may_still_be_there():
    lines = [create("/d/b"), pwrite("/d/b", b"x"), unlink("/d/b")]
    assert contents(played(*lines), "b") == {None, b"", b"x"}


def test_a_folder_is_renamed_with_all_that_is_in_it():
    lines = [create("/d/t/f"), pwrite("/d/t/f", b"x"), sync("/d/t/f"), f"fsync({fd('/d/t')}) = 0"]
    disk = played(*lines, rename("/d/t", "/d/u"))
    assert disk.now() == {"a": b"old", "u/f": b"x"}
    assert {tuple(dict(items)) for items in possible(disk)} == {("a", "t/f"), ("a", "u/f")}


def test_write_goes_where_the_descriptor_stands():
    lines = [
        create("/d/b", "O_WRONLY|O_CREAT|O_TRUNC"),
        f'write({fd("/d/b")}, "{x("one")}", 3) = 3',
        f'write({fd("/d/b")}, "{x("two")}", 3) = 3',
        f"lseek({fd('/d/b')}, 0, SEEK_SET) = 0",
        f'write({fd("/d/b")}, "{x("O")}", 1) = 1',
    ]
    assert played(*lines).now()["b"] == b"Onetwo"
    truncated = played(create("/d/a", "O_WRONLY|O_CREAT|O_TRUNC"))
    assert truncated.now() == {"a": b""}


def test_what_is_ignored_or_elsewhere_is_not_followed():
    disk = played(
        pwrite("/elsewhere", b"x"),
        pwrite("/d/run/x", b"x"),
        create("/d/run/y"),
        ignore=lambda p: p.startswith("run/"),
    )
    assert disk.now() == {"a": b"old"}


@pytest.mark.parametrize(
    "line",
    [
        f'writev({fd("/d/a")}, [{{iov_base="{x("x")}", iov_len=1}}], 1) = 1',
        f'link("{x("/d/a")}", "{x("/d/b")}") = 0',
        f'rename("{x("/d/a")}", "{x("/elsewhere")}") = 0',
        f"fallocate({fd('/d/a')}, FALLOC_FL_PUNCH_HOLE, 0, 5) = 0",
        f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {fd('/d/a')}, 0) = 0x7f0000000000",
    ],
)
def test_a_change_that_is_not_rebuilt_is_refused(line):
    with pytest.raises(TraceError):
        played(line)


def test_a_write_at_an_unknown_place_is_refused():
    with pytest.raises(TraceError, match="where in /d/a is not known"):
        played(create("/d/a", "O_RDWR"), f'write({fd("/d/a")}, "{x("x")}", 1) = 1')


def test_the_index_of_sqlite_may_be_written_by_memory():
    shared = f"mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, {fd('/d/a-shm')}, 0) = 0x7f0000000000"
    private = f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, {fd('/d/a')}, 0) = 0x7f0000000000"
    assert played(shared, private).now() == {"a": b"old"}


def test_a_disk_that_lies_keeps_nothing():
    disk = played(pwrite("/d/a", b"new"), sync("/d/a"), honest=False)
    assert contents(disk, modes=["none"]) == {b"old"}


def test_a_replay_stops_at_any_line_and_knows_its_time():
    calls = parse([f"1 1.5 {pwrite('/d/a', b'new')}", f"1 2.5 {sync('/d/a')}"])
    disk = Disk(ROOT, {"a": b"old"})
    replay = Replay(disk, calls)
    assert (replay.lines, replay.time_of(1)) == ([0, 1], 2.5)
    replay.advance(0)
    assert contents(disk) == {b"old", b"new"}
    replay.advance(1)
    assert contents(disk) == {b"new"}


def test_only_calls_about_the_folder_are_kept():
    calls = parse([f"1 1.0 {line}" for line in (pwrite("/e/a", b"x"), pwrite("/d/a", b"x"), create("/d/b"))])
    assert about(calls, ROOT) == calls[1:]

import os

from tests.benchmarks import procfs

ROLLUP = """\
55d0c0a00000-7ffd3a5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               44000 kB
Pss:               41000 kB
Pss_Anon:          30000 kB
Shared_Clean:       3000 kB
Private_Clean:      1000 kB
Private_Dirty:     39000 kB
"""
IO = "rchar: 1\nwchar: 2\nread_bytes: 0\nwrite_bytes: 40960\ncancelled_write_bytes: 4096\n"


def test_memory_is_read_from_the_rollup():
    found = procfs.memory_of(ROLLUP)
    assert found == procfs.Memory(pss=41000 * 1024, private=40000 * 1024, rss=44000 * 1024)


def test_bytes_written_do_not_count_what_was_cancelled():
    assert procfs.written_of(IO) == 36864


def test_run_time_is_the_first_number_in_nanoseconds():
    assert procfs.run_time("1500000000 77 12\n") == 1.5


def test_stat_time_survives_a_name_with_brackets_and_blanks():
    fields = " ".join(str(number) for number in range(3, 20))
    assert procfs.stat_time(f"7 (a) b) S {fields}") == (13 + 14) / procfs.TICKS


def test_a_meter_reads_this_process():
    meter = procfs.Meter(os.getpid())
    sum(range(1_000_000))
    found = meter.read(1000)
    assert found["cpu"] > 0
    assert found["broker_busy"] > 0
    assert found["generator_busy"] > 0
    assert found["rate"] > 0

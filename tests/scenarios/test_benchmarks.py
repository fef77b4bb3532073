"""Each kind of benchmark once, as small as it goes, so that none rots between the runs of `make bench`."""

import contextlib

import pytest

from tests.benchmarks import shadows
from tests.benchmarks.brokers import EDGECORE, raise_open_files, running
from tests.benchmarks.cases import TABLES, cases
from tests.benchmarks.site import make_site
from tests.benchmarks.stage import Scale, Stage

# 40 devices: the publishers of 20→1 have numbers from 20 on.
SMALL = Scale(seconds=0.1, paced=0.2, sizes=(64,), devices=40, crowd=6, multitude=8, stored=800)
FIRST = {table.name: next(case for case in cases(SMALL) if case.table == table.name) for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_case_of_each_table_gives_its_values(tmp_path, table):
    raise_open_files()
    with contextlib.ExitStack() as stack:
        figures = FIRST[table.name].run(Stage(tmp_path, stack), EDGECORE)
    assert figures.faults == []
    assert {column.key for column in table.columns} <= set(figures.values)


def test_the_shadow_benchmark_gives_its_lines(tmp_path):
    with running(EDGECORE, make_site(tmp_path / "site", 2), "default") as broker:
        lines = [*shadows.merges(), *shadows.measured(broker, 2, 3, 0.3)]
    assert all(line.value > 0 for line in lines)
    assert {str(line).count("|") for line in lines} == {4}

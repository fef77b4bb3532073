import pytest

from tests.benchmarks.broker import select
from tests.benchmarks.cases import TABLES, cases
from tests.benchmarks.stage import Scale

OFFERED = cases(Scale())


def names(only):
    return [case.name for case in select(only, OFFERED)]


def test_every_case_has_a_name_of_its_own_and_a_table():
    assert len({case.name for case in OFFERED}) == len(OFFERED)
    assert {case.table for case in OFFERED} == {table.name for table in TABLES}


def test_every_budget_is_for_a_value_that_is_shown_or_compared():
    shown = {table.name: {column.key for column in table.columns} for table in TABLES}
    for case in OFFERED:
        assert {budget.key for budget in case.budgets} <= shown[case.table], case.name


def test_nothing_chosen_is_everything():
    assert names("") == [case.name for case in OFFERED]


def test_a_beginning_chooses_all_that_begin_so():
    assert names("qos1-persistent") == [
        "qos1-persistent-1to1-64",
        "qos1-persistent-1to1-200",
        "qos1-persistent-20to1-64",
        "qos1-persistent-20to1-200",
        "qos1-persistent-offline-200",
    ]


def test_a_whole_name_chooses_one():
    assert names("paced-400") == ["paced-400"]
    assert names("start,idle") == ["idle", "start"]


def test_a_word_that_names_nothing_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no case begins with 'qos7'; there are qos0-1to1-64, "):
        select("paced,qos7", OFFERED)

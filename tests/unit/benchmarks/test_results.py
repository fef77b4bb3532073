from tests.benchmarks.results import (
    Budget,
    Column,
    Figures,
    Table,
    as_records,
    from_records,
    markdown,
    row_of,
)

TABLE = Table("speed", "Speed", (Column("rate", "msg/s"), Column("p99", "p99 ms", ".1f", ratio=False)))


def runs(peer, ours, **more):
    return {
        "mosquitto": [Figures({"rate": rate, **more}) for rate in peer],
        "edgecore": [Figures({"rate": rate, **more}) for rate in ours],
    }


def lines(*rows, budgets=None):
    return markdown(rows, [TABLE], budgets or {}).splitlines()


def test_a_row_has_the_medians_and_the_ratio_of_medians():
    row = row_of("one", "One", "speed", runs([100, 1, 110], [300, 330, 9000]))
    assert row.medians["mosquitto"]["rate"] == 100
    assert row.medians["edgecore"]["rate"] == 330
    assert row.ratio("rate") == 3.3
    assert row.rounds == 3


def test_a_value_that_only_some_runs_gave_is_the_median_of_those():
    found = {"mosquitto": [Figures({"rate": 1.0}), Figures({"rate": 3.0, "drain": 7.0})], "edgecore": []}
    assert row_of("one", "One", "speed", found).medians["mosquitto"] == {"rate": 2.0, "drain": 7.0}


def test_there_is_no_ratio_without_a_peer_or_to_nothing():
    alone = row_of("one", "One", "speed", {"mosquitto": [], "edgecore": [Figures({"rate": 5.0})]})
    assert alone.ratio("rate") is None
    assert row_of("one", "One", "speed", runs([0], [5])).ratio("rate") is None


def test_the_table_has_a_ratio_only_where_its_column_asks():
    row = row_of("one", "One", "speed", runs([1000], [2500], p99=0.25))
    assert lines(row) == [
        "### Speed",
        "",
        "| case | Mosquitto msg/s | edgecore | ratio | Mosquitto p99 ms | edgecore | budget |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| One | 1,000 | 2,500 | 2.50x | 0.2 | 0.2 |  |",
    ]


def test_a_table_without_rows_is_left_out():
    row = row_of("one", "One", "another", runs([1], [1]))
    assert lines(row) == []


def test_a_rate_that_the_generator_bounded_is_marked():
    found = runs([1000], [2500], generator_busy=0.9, broker_busy=0.5)
    assert "| One | 1,000 g | 2,500 g |" in lines(row_of("one", "One", "speed", found))[-1]
    busy = runs([1000], [2500], generator_busy=0.9, broker_busy=0.95)
    assert "| One | 1,000 | 2,500 |" in lines(row_of("one", "One", "speed", busy))[-1]


def test_a_budget_is_a_bound_of_the_ratio_or_of_our_own_value():
    row = row_of("one", "One", "speed", runs([1000], [2500]))
    kept = {"one": [Budget("rate", 2, at_least=True), Budget("rate", 9000, at_least=False, of_peer=False)]}
    assert lines(row, budgets=kept)[-1].endswith("| rate ≥ 2x; rate ≤ 9000 |")
    missed = {"one": [Budget("rate", 3, at_least=True), Budget("rate", 2, at_least=False)]}
    assert lines(row, budgets=missed)[-1].endswith(
        "| rate ≥ 3x: **missed** (2.50); rate ≤ 2x: **missed** (2.50) |"
    )


def test_a_run_with_a_fault_is_marked_and_held_to_nothing():
    found = runs([1000], [2500])
    found["edgecore"][0].faults.append("3 were lost")
    row = row_of("one", "One", "speed", found)
    assert row.faults == {"mosquitto": [], "edgecore": ["3 were lost"]}
    assert lines(row, budgets={"one": [Budget("rate", 3, at_least=True)]})[-1].startswith("| One † |")
    assert lines(row, budgets={"one": [Budget("rate", 3, at_least=True)]})[-1].endswith("|  |")


def test_rows_come_back_from_their_records():
    row = row_of("one", "One", "speed", runs([1, 2], [3, 4]))
    assert from_records(as_records([row])) == [row]

import pytest

from edgecore.store.wear import LEAST_SECONDS, LOOK_SECONDS, YEAR, Wear, written_of

GIGABYTE = 10**9


def text(written, cancelled=0):
    return f"rchar: 5\nwchar: 6\nwrite_bytes: {written}\ncancelled_write_bytes: {cancelled}\n"


class Case:
    def __init__(self, tmp_path, endurance=5000 * GIGABYTE):
        self.io = tmp_path / "io"
        self.now = 100.0
        self.wear = Wear(self.now, endurance, self.io)

    def look(self, written, after=LOOK_SECONDS):
        self.io.write_text(text(written))
        self.now += after
        self.wear.look(self.now)

    def status(self, messages=0):
        return self.wear.status(self.now, messages)


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_what_went_to_a_disk():
    assert written_of(text(5000, 1000)) == 4000
    assert written_of("rchar: 5\n") == 0


def test_it_says_what_was_written_since_and_what_that_means_for_the_card(case):
    case.look(7000, after=0.0)
    case.look(7000 + GIGABYTE, after=YEAR / 10)
    status = case.status(messages=1_000_000)
    assert (status["written"], status["per_message"]) == (GIGABYTE, 1000)
    assert status["per_year"] == pytest.approx(10 * GIGABYTE, rel=0.001)
    assert status["per_day"] == pytest.approx(10 * GIGABYTE / 365.25, rel=0.001)
    assert status["card_years"] == 500.0


def test_it_says_nothing_of_a_year_too_early(case):
    case.look(0, after=0.0)
    case.look(5000, after=LEAST_SECONDS - 1)
    assert case.status(1)["per_year"] is None
    case.now += 1.0
    assert case.status(1)["per_year"] > 0


def test_it_is_not_read_all_the_time(case):
    case.look(0, after=0.0)
    case.look(5000, after=LOOK_SECONDS / 2)
    assert case.status()["written"] == 0


def test_a_machine_that_does_not_count_is_no_fault(tmp_path):
    wear = Wear(0.0, 1, tmp_path / "none")
    wear.look(LOOK_SECONDS)
    assert wear.status(1000.0, 5) == {
        "written": 0,
        "per_message": None,
        "per_day": None,
        "per_year": None,
        "card_years": None,
    }

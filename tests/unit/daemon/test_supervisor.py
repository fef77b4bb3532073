import asyncio
import logging

import pytest

from edgecore.base.backoff import Backoff
from edgecore.base.clock import ManualClock
from edgecore.base.errors import StoreError
from edgecore.daemon.lifecycle import NEVER, RestartPolicy
from edgecore.daemon.supervisor import EssentialBrokenError, Supervisor, Unit

POLICY = RestartPolicy(crashes=2, window=60.0, backoff=Backoff(initial=1.0, floor=1.0))


class Sleeper:
    """Time that passes only when a test says so: each sleep waits for `wake`."""

    def __init__(self, clock):
        self.clock = clock
        self.asked = []
        self.waiting = asyncio.Queue()

    async def __call__(self, seconds):
        self.asked.append(seconds)
        woken = asyncio.Event()
        self.waiting.put_nowait((seconds, woken))
        await woken.wait()

    async def wake(self):
        async with asyncio.timeout(5):
            seconds, woken = await self.waiting.get()
        self.clock.advance(seconds)
        woken.set()


class Part:
    """A service that does what a test scripts: each life takes the next of `lives`, then the last again."""

    def __init__(self, name, diary, *lives):
        self.name = name
        self.diary = diary
        self.lives = list(lives) or [steady]

    def factory(self):
        life = self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]
        self.diary.append(f"build {self.name}")
        return Living(self, life)


class Living:
    def __init__(self, part, life):
        self.part = part
        self.life = life
        self.crash = asyncio.get_running_loop().create_future()

    async def run(self, ready):
        diary, name = self.part.diary, self.part.name
        diary.append(f"start {name}")
        try:
            await self.life(self, ready)
        finally:
            diary.append(f"end {name}")

    def status(self):
        return {"of": self.part.name}


async def steady(living, ready):
    ready()
    await living.crash


async def slow(living, ready):
    await living.crash


async def failing(living, ready):
    raise ValueError("cable unplugged")


async def refusing(living, ready):
    raise StoreError("state/db is read-only: remount it")


async def returning(living, ready):
    ready()


async def fails_after_ready(living, ready):
    ready()
    raise ValueError("later")


class House:
    """A supervisor under test, running in a task of its own."""

    def __init__(self, *units, hold=30.0, also=None):
        self.clock = ManualClock()
        self.sleep = Sleeper(self.clock)
        self.supervisor = Supervisor(units, self.clock, lambda: 0.0, sleep=self.sleep, hold=hold, also=also)
        self.ready = asyncio.Event()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.supervisor.run(self.ready.set))
        return self

    async def __aexit__(self, *_):
        self.supervisor.request_stop()
        async with asyncio.timeout(5):
            await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.exception()

    async def until_ready(self):
        async with asyncio.timeout(5):
            await self.ready.wait()

    async def ended(self):
        async with asyncio.timeout(5):
            await self.task

    async def until(self, unit, state):
        async with asyncio.timeout(5):
            while self.state(unit) != state:  # noqa: ASYNC110  states are polled as people do
                await asyncio.sleep(0)

    def state(self, unit):
        return self.supervisor.statuses()[unit]["state"]

    def living(self, unit):
        return self.supervisor._slots[unit].service


def unit(part, **kwargs):
    kwargs.setdefault("policy", POLICY)
    return Unit(part.name, part.factory, **kwargs)


async def test_starts_in_order_and_stops_backwards():
    diary = []
    async with House(*(unit(Part(name, diary)) for name in "abc")) as house:
        await house.until_ready()
        assert diary == ["build a", "start a", "build b", "start b", "build c", "start c"]
        diary.clear()
        house.supervisor.request_stop()
        await house.ended()
    assert diary == ["end c", "end b", "end a"]
    assert [house.state(name) for name in "abc"] == ["stopped"] * 3


async def test_an_essential_unit_holds_the_next_one_back():
    diary = []
    first = Part("first", diary, slow)
    async with House(unit(first, essential=True), unit(Part("second", diary)), hold=0.0) as house:
        await house.until("first", "starting")
        assert house.state("second") == "waiting"
        house.supervisor.request_stop()
        await house.ended()
    assert "build second" not in diary
    assert not house.ready.is_set()


async def test_an_optional_unit_holds_nothing_back_for_long(caplog):
    diary = []
    async with House(unit(Part("camera", diary, slow)), unit(Part("door", diary)), hold=0.0) as house:
        await house.until_ready()
        assert house.state("camera") == "starting"
        assert house.state("door") == "running"
    assert "holds the start back" in caplog.text


async def test_a_unit_in_backoff_does_not_hold_back_longer_than_the_hold():
    diary = []
    async with House(unit(Part("camera", diary, failing)), unit(Part("door", diary)), hold=0.0) as house:
        await house.until_ready()
        await house.until("camera", "backing off")


async def test_a_crashed_unit_is_rebuilt_after_its_delay():
    diary = []
    async with House(unit(Part("a", diary))) as house:
        await house.until_ready()
        first = house.living("a")
        first.crash.set_exception(ValueError("cable unplugged"))
        await house.until("a", "backing off")
        status = house.supervisor.statuses()["a"]
        assert status["reason"] == "ValueError: cable unplugged"
        assert status["restarts"] == 0
        await house.sleep.wake()
        await house.until("a", "running")
        assert house.living("a") is not first
        assert house.supervisor.statuses()["a"]["restarts"] == 1
        assert house.sleep.asked == [1.0]


async def test_a_factory_that_fails_counts_as_a_crash():
    def factory():
        raise StoreError("no disk: mount one")

    async with House(Unit("a", factory, policy=POLICY), hold=0.0) as house:
        for _ in range(2):
            await house.sleep.wake()
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "no disk: mount one"


async def test_an_optional_unit_that_crashes_too_often_stays_down_and_says_why(caplog):
    diary = []
    async with House(unit(Part("camera", diary, failing)), unit(Part("door", diary))) as house:
        for _ in range(2):
            await house.sleep.wake()
        await house.until_ready()
        status = house.supervisor.statuses()["camera"]
        assert (status["state"], status["restarts"]) == ("broken", 2)
        assert "cable unplugged" in status["reason"]
        assert house.state("door") == "running"
        assert diary.count("build camera") == 3
    assert house.task.exception() is None
    assert "unit broken unit=camera" in caplog.text


async def test_an_essential_unit_that_breaks_ends_everything():
    diary = []
    store = Part("store", diary, steady)
    async with House(
        unit(store, essential=True, policy=NEVER), unit(Part("door", diary), essential=True)
    ) as house:
        await house.until_ready()
        house.living("store").crash.set_exception(StoreError("disk gone: check the card"))
        with pytest.raises(EssentialBrokenError, match="essential unit store is broken: disk gone") as caught:
            await house.ended()
    assert caught.value.unit == "store"
    assert diary[-1] == "end door"


async def test_an_essential_unit_that_breaks_at_start_stops_what_ran():
    diary = []
    units = [unit(Part("a", diary)), unit(Part("b", diary, refusing), essential=True, policy=NEVER)]
    async with House(*units, unit(Part("c", diary))) as house:
        with pytest.raises(EssentialBrokenError, match="read-only: remount it"):
            await house.ended()
    assert not house.ready.is_set()
    assert "build c" not in diary
    assert diary[-1] == "end a"


async def test_crashes_long_ago_are_forgiven():
    async with House(unit(Part("a", []))) as house:
        await house.until_ready()
        for _ in range(5):
            house.living("a").crash.set_exception(ValueError)
            await house.sleep.wake()
            await house.until("a", "running")
            house.clock.advance(61.0)
    assert house.sleep.asked == [1.0] * 5


@pytest.mark.parametrize(
    ("life", "reason"),
    [(returning, "ended although nobody stopped it"), (failing, "ValueError: cable unplugged")],
)
async def test_the_reason_of_a_crash(life, reason):
    async with House(unit(Part("a", [], life), policy=NEVER)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == reason


async def test_an_error_within_a_group_is_shown_itself():
    async def grouped(living, ready):
        async with asyncio.TaskGroup() as group:
            group.create_task(failing(living, ready))

    async with House(unit(Part("a", [], grouped), policy=NEVER)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "ValueError: cable unplugged"


async def test_an_error_without_text_is_named():
    async def silent(living, ready):
        raise KeyError

    async with House(unit(Part("a", [], silent), policy=NEVER)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "KeyError"


async def test_what_edgecore_raises_on_purpose_is_logged_without_a_trace(caplog):
    async with House(unit(Part("a", [], refusing), policy=NEVER)) as house:
        await house.until("a", "broken")
    assert "remount it" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_cancellation_from_within_is_a_crash():
    async def cancelled(living, ready):
        raise asyncio.CancelledError

    async with House(unit(Part("a", [], cancelled), policy=NEVER)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "cancelled from within"


async def test_a_unit_that_never_gets_ready_has_crashed():
    async with House(unit(Part("a", [], slow), policy=NEVER, start_deadline=0.0)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "not ready within 0 s"


async def test_a_unit_may_time_out_by_itself_after_it_was_ready():
    async def impatient(living, ready):
        ready()
        raise TimeoutError("peer silent")

    async with House(unit(Part("a", [], impatient), policy=NEVER)) as house:
        await house.until("a", "broken")
        assert house.supervisor.statuses()["a"]["reason"] == "TimeoutError: peer silent"


async def test_ready_twice_and_ready_too_late_change_nothing():
    calls = []

    async def eager(living, ready):
        ready()
        ready()
        calls.append(ready)
        raise ValueError

    async with House(unit(Part("a", [], eager), policy=NEVER)) as house:
        await house.until("a", "broken")
        calls[0]()
        assert house.state("a") == "broken"


async def test_replace_runs_a_fresh_instance():
    diary = []
    async with House(unit(Part("a", diary)), unit(Part("b", diary))) as house:
        await house.until_ready()
        before = house.living("a")
        diary.clear()
        await house.supervisor.replace("a")
        assert diary == ["end a", "build a", "start a"]
        assert house.living("a") is not before
        assert house.state("a") == "running"


async def test_replace_revives_a_broken_unit_and_forgets_its_crashes():
    part = Part("a", [], failing, steady)
    async with House(unit(part, policy=NEVER)) as house:
        await house.until("a", "broken")
        await house.supervisor.replace("a")
        status = house.supervisor.statuses()["a"]
        assert (status["state"], status["reason"]) == ("running", "")
        assert house.supervisor._slots["a"].crashes == ()


async def test_replace_returns_when_the_new_one_is_broken():
    part = Part("a", [], steady, failing)
    async with House(unit(part, policy=NEVER)) as house:
        await house.until_ready()
        await house.supervisor.replace("a")
        assert house.state("a") == "broken"


async def test_replace_during_backoff_does_not_wait_for_the_delay():
    part = Part("a", [], failing, steady)
    async with House(unit(part)) as house:
        await house.until("a", "backing off")
        await house.supervisor.replace("a")
        assert house.state("a") == "running"


async def test_replace_of_an_unknown_unit_is_a_bug():
    async with House(unit(Part("a", []))) as house:
        await house.until_ready()
        with pytest.raises(KeyError):
            await house.supervisor.replace("b")


async def test_replaces_of_one_unit_come_one_after_the_other():
    diary = []
    async with House(unit(Part("a", diary))) as house:
        await house.until_ready()
        diary.clear()
        await asyncio.gather(house.supervisor.replace("a"), house.supervisor.replace("a"))
        assert diary == ["end a", "build a", "start a"] * 2


async def test_nothing_is_started_once_the_core_stops():
    diary = []
    async with House(unit(Part("a", diary))) as house:
        await house.until_ready()
        house.supervisor.request_stop()
        await house.ended()
        diary.clear()
        await house.supervisor.replace("a")
    assert diary == []
    assert house.state("a") == "stopped"


def deaf(release):
    async def life(living, ready):
        ready()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                living.part.diary.append("ignored")

    return life


async def test_a_unit_that_does_not_stop_is_abandoned_and_named(caplog):
    release, diary = asyncio.Event(), []
    units = [unit(Part("a", diary)), unit(Part("deaf", diary, deaf(release)), stop_deadline=0.01)]
    async with House(*units) as house:
        await house.until_ready()
        house.supervisor.request_stop()
        await house.ended()
        assert house.supervisor.stuck == ("deaf",)
        assert "end a" in diary
        release.set()
        await asyncio.wait([house.supervisor._slots["deaf"].task], timeout=5)
    assert "unit did not stop unit=deaf" in caplog.text


async def test_a_unit_that_does_not_stop_is_not_started_beside_itself():
    release, diary = asyncio.Event(), []
    async with House(unit(Part("deaf", diary, deaf(release), steady), stop_deadline=0.01)) as house:
        await house.until_ready()
        await house.supervisor.replace("deaf")
        status = house.supervisor.statuses()["deaf"]
        assert status["state"] == "broken"
        assert status["reason"] == "did not stop within 0.01 s when replaced"
        assert diary.count("build deaf") == 1
        release.set()
        await house.supervisor.replace("deaf")
        assert house.state("deaf") == "running"


async def test_an_error_while_stopping_is_logged_and_starts_nothing(caplog):
    async def clumsy(living, ready):
        ready()
        try:
            await living.crash
        except asyncio.CancelledError:
            raise OSError("disk full") from None

    diary = []
    async with House(unit(Part("a", diary, clumsy))) as house:
        await house.until_ready()
        house.supervisor.request_stop()
        await house.ended()
    assert diary.count("build a") == 1
    assert "failed while it was stopped unit=a" in caplog.text


async def test_stop_during_backoff_ends_at_once():
    async with House(unit(Part("a", [], failing))) as house:
        await house.until("a", "backing off")
        house.supervisor.request_stop()
        await house.ended()
    assert house.state("a") == "stopped"


async def test_a_service_that_ends_the_moment_it_is_ready_settles_its_start():
    async with House(unit(Part("a", [], fails_after_ready), essential=True), unit(Part("b", []))) as house:
        await house.sleep.wake()
        await house.sleep.wake()
        with pytest.raises(EssentialBrokenError):
            await house.ended()


async def test_statuses_hold_the_services_own_and_plain_objects():
    async with House(unit(Part("a", [])), also={"router": lambda: {"routes": 3}}) as house:
        await house.until_ready()
        statuses = house.supervisor.statuses()
    assert statuses["a"] == {
        "state": "running",
        "essential": False,
        "restarts": 0,
        "since": house.clock.now(),
        "reason": "",
        "status": {"of": "a"},
    }
    assert statuses["router"] == {"state": "running", "status": {"routes": 3}}


async def test_a_status_that_fails_hides_no_other():
    def broken():
        raise ZeroDivisionError("nothing counted")

    async with House(unit(Part("a", [])), also={"router": broken}) as house:
        await house.until_ready()
        assert house.supervisor.statuses()["router"]["status"] == {
            "error": "ZeroDivisionError: nothing counted"
        }
        assert house.supervisor.statuses()["a"]["status"] == {"of": "a"}


async def test_a_failure_of_the_supervisor_itself_ends_the_process(caplog, monkeypatch):
    async with House(unit(Part("a", []))) as house:
        await house.until_ready()
        monkeypatch.setattr("edgecore.daemon.supervisor.judge", lambda *_: 1 / 0)
        house.living("a").crash.set_exception(ValueError)
        with pytest.raises(EssentialBrokenError, match="ZeroDivisionError"):
            await house.ended()
    assert caplog.records[-1].levelno >= logging.INFO


async def test_stops_cleanly_when_it_is_cancelled():
    diary = []
    async with House(unit(Part("a", diary))) as house:
        await house.until_ready()
        house.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await house.ended()
    assert diary[-1] == "end a"

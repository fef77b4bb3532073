"""The Jobs service: what a device asks, and what it is told without asking."""

import json

import pytest

from edgecore.sim.cloud.jobs import JobError, Jobs, parse_topic

DOCUMENT = {"operation": "reboot"}


def names(said):
    return [reply.topic.rpartition("/jobs/")[2] for reply in said]


class Desk:
    """One thing and its jobs at a time that the test moves."""

    def __init__(self):
        self.jobs = Jobs()
        self.now = 1000
        self.heard = []

    def create(self, *job_ids, things=("lamp",), **more):
        for job_id in job_ids:
            self.heard += self.jobs.create(job_id, DOCUMENT, things, self.now, **more)

    def ask(self, rest, request=None, thing="lamp"):
        payload = b"" if request is None else json.dumps(request).encode()
        answer = self.jobs.handle(thing, rest, payload, self.now)
        self.heard += answer.published
        (reply,) = answer.direct
        assert reply.topic.startswith(f"$aws/things/{thing}/jobs/{rest}/")
        return reply.topic.rpartition("/")[2], reply.document

    def accepted(self, rest, request=None):
        verdict, document = self.ask(rest, request)
        assert verdict == "accepted", document
        return document

    def rejected(self, rest, request=None):
        verdict, document = self.ask(rest, request)
        assert verdict == "rejected", document
        return document

    def take(self):
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def desk():
    return Desk()


class TestTopics:
    @pytest.mark.parametrize(
        ("topic", "expected"),
        [
            ("$aws/things/lamp/jobs/get", ("lamp", "get")),
            ("$aws/things/lamp/jobs/$next/get", ("lamp", "$next/get")),
            ("$aws/things/lamp/jobs/job-1/update", ("lamp", "job-1/update")),
            ("$aws/things/lamp/jobs/nonsense", ("lamp", "nonsense")),
            ("$aws/things/lamp/jobs/notify", None),
            ("$aws/things/lamp/jobs/notify-next", None),
            ("$aws/things/lamp/jobs/get/accepted", None),
            ("$aws/things/lamp/shadow/get", None),
        ],
    )
    def test_those_that_are_requests(self, topic, expected):
        assert parse_topic(topic) == expected

    @pytest.mark.parametrize("rest", ["nonsense", "$next/update", "a/b/get", "job/delete"])
    def test_those_that_are_no_operation(self, desk, rest):
        assert desk.rejected(rest)["code"] == "InvalidTopic"


class TestGet:
    def test_both_lists_even_if_empty(self, desk):
        assert desk.accepted("get", {"clientToken": "t"}) == {
            "inProgressJobs": [],
            "queuedJobs": [],
            "timestamp": 1000,
            "clientToken": "t",
        }

    def test_summaries(self, desk):
        desk.create("one", "two")
        desk.now = 1005
        desk.accepted("start-next")
        found = desk.accepted("get", {})
        assert found["inProgressJobs"] == [
            {
                "jobId": "one",
                "queuedAt": 1000,
                "startedAt": 1005,
                "lastUpdatedAt": 1005,
                "versionNumber": 2,
                "executionNumber": 1,
            }
        ]
        assert [one["jobId"] for one in found["queuedJobs"]] == ["two"]

    def test_other_things_see_nothing_of_it(self, desk):
        desk.create("one")
        assert desk.ask("get", thing="gate")[1]["queuedJobs"] == []


class TestStartNext:
    def test_none_pending_is_no_execution(self, desk):
        assert desk.accepted("start-next", {"clientToken": "t"}) == {"timestamp": 1000, "clientToken": "t"}

    def test_queued_becomes_in_progress_with_an_object_as_document(self, desk):
        desk.create("one")
        execution = desk.accepted("start-next", {"statusDetails": {"step": "1"}})["execution"]
        assert execution == {
            "jobId": "one",
            "thingName": "lamp",
            "status": "IN_PROGRESS",
            "jobDocument": DOCUMENT,
            "statusDetails": {"step": "1"},
            "queuedAt": 1000,
            "startedAt": 1000,
            "lastUpdatedAt": 1000,
            "versionNumber": 2,
            "executionNumber": 1,
        }

    def test_a_running_one_comes_first_and_keeps_its_details(self, desk):
        desk.create("one", "two")
        desk.accepted("start-next", {"statusDetails": {"step": "1"}})
        execution = desk.accepted("start-next", {"statusDetails": {"step": "2"}})["execution"]
        assert (execution["jobId"], execution["statusDetails"]) == ("one", {"step": "1"})
        assert execution["versionNumber"] == 2

    def test_then_by_time_in_the_queue(self, desk):
        desk.create("b", "a")
        desk.accepted("start-next")
        desk.accepted("b/update", {"status": "SUCCEEDED"})
        assert desk.accepted("start-next")["execution"]["jobId"] == "a"


class TestDescribe:
    def test_by_id_and_by_next(self, desk):
        desk.create("one")
        assert desk.accepted("one/get")["execution"]["status"] == "QUEUED"
        assert desk.accepted("$next/get")["execution"]["jobId"] == "one"
        assert "execution" not in desk.ask("$next/get", thing="gate")[1]

    def test_without_the_document(self, desk):
        desk.create("one")
        assert "jobDocument" not in desk.accepted("one/get", {"includeJobDocument": False})["execution"]

    def test_unknown(self, desk):
        assert desk.rejected("one/get")["code"] == "ResourceNotFound"
        desk.create("one")
        assert desk.rejected("one/get", {"executionNumber": 2})["code"] == "ResourceNotFound"

    def test_one_that_is_over(self, desk):
        desk.create("one")
        desk.accepted("one/update", {"status": "FAILED"})
        found = desk.rejected("one/get")
        assert (found["code"], found["executionState"]["status"]) == ("TerminalStateReached", "FAILED")


class TestUpdate:
    @pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "REJECTED"])
    def test_to_the_end(self, desk, status):
        desk.create("one")
        assert desk.accepted("one/update", {"status": status}) == {"timestamp": 1000}
        assert desk.accepted("get")["queuedJobs"] == []
        assert desk.jobs.describe("one")["executions"]["lamp"]["status"] == status

    def test_the_version_grows_with_each(self, desk):
        desk.create("one")
        state = {"includeJobExecutionState": True, "includeJobDocument": True}
        first = desk.accepted("one/update", {"status": "IN_PROGRESS", "statusDetails": {"a": "1"}, **state})
        assert first["jobDocument"] == DOCUMENT
        assert first["executionState"] == {
            "status": "IN_PROGRESS",
            "statusDetails": {"a": "1"},
            "versionNumber": 2,
        }
        second = desk.accepted("one/update", {"status": "IN_PROGRESS", "expectedVersion": 2, **state})
        assert second["executionState"]["versionNumber"] == 3
        assert second["executionState"]["statusDetails"] == {"a": "1"}  # not given: unchanged

    def test_another_version_than_expected(self, desk):
        desk.create("one")
        found = desk.rejected(
            "one/update", {"status": "IN_PROGRESS", "expectedVersion": 7, "clientToken": "t"}
        )
        assert (found["code"], found["clientToken"]) == ("VersionMismatch", "t")
        assert found["executionState"]["versionNumber"] == 1

    def test_from_a_terminal_state(self, desk):
        desk.create("one")
        desk.accepted("one/update", {"status": "SUCCEEDED"})
        found = desk.rejected("one/update", {"status": "FAILED"})
        assert (found["code"], found["executionState"]["status"]) == ("InvalidStateTransition", "SUCCEEDED")

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"status": "QUEUED"},
            {"status": "DONE"},
            {"status": "FAILED", "statusDetails": {"a": 1}},
            {"status": "FAILED", "statusDetails": {"a b": "1"}},
            {"status": "FAILED", "statusDetails": []},
            {"status": "FAILED", "stepTimeoutInMinutes": 0},
            {"status": "FAILED", "stepTimeoutInMinutes": 10_081},
            {"status": "FAILED", "stepTimeoutInMinutes": True},
            {"status": "FAILED", "includeJobDocument": "yes"},
            {"status": "FAILED", "clientToken": "t" * 65},
            {"status": "FAILED", "clientToken": 1},
        ],
    )
    def test_invalid_requests(self, desk, request_):
        desk.create("one")
        assert desk.rejected("one/update", request_)["code"] == "InvalidRequest"

    @pytest.mark.parametrize(("payload", "code"), [(b"{", "InvalidJson"), (b"[]", "InvalidRequest")])
    def test_what_is_no_object(self, desk, payload, code):
        (reply,) = desk.jobs.handle("lamp", "get", payload, 0).direct
        assert reply.document["code"] == code


class TestNotifications:
    def test_when_one_is_added_to_the_pending(self, desk):
        desk.create("one")
        notify, notify_next = desk.take()
        assert names([notify, notify_next]) == ["notify", "notify-next"]
        assert [one["jobId"] for one in notify.document["jobs"]["QUEUED"]] == ["one"]
        assert "IN_PROGRESS" not in notify.document["jobs"]
        assert notify_next.document["execution"]["jobId"] == "one"

    def test_a_second_one_does_not_change_what_is_next(self, desk):
        desk.create("one")
        desk.take()
        desk.create("two")
        assert names(desk.take()) == ["notify"]

    def test_not_from_queued_to_in_progress(self, desk):
        desk.create("one")
        desk.take()
        desk.accepted("start-next")
        assert desk.take() == []

    def test_a_running_one_overtakes_what_was_next(self, desk):
        desk.create("one", "two")
        desk.take()
        desk.accepted("two/update", {"status": "IN_PROGRESS"})
        (notify_next,) = desk.take()
        assert notify_next.document["execution"]["jobId"] == "two"

    def test_when_the_queue_empties(self, desk):
        desk.create("one")
        desk.take()
        desk.accepted("one/update", {"status": "SUCCEEDED"})
        notify, notify_next = desk.take()
        assert notify.document == {"timestamp": 1000, "jobs": {}}
        assert notify_next.document == {"timestamp": 1000}

    def test_at_most_10(self, desk):
        desk.create(*(f"job-{index}" for index in range(12)))
        assert len(desk.take()[-1].document["jobs"]["QUEUED"]) == 10


class TestOperator:
    def test_every_thing_gets_its_execution(self, desk):
        desk.create("one", things=("lamp", "gate"))
        assert set(desk.jobs.describe("one")["executions"]) == {"lamp", "gate"}
        assert {reply.topic.split("/")[2] for reply in desk.take()} == {"lamp", "gate"}

    def test_the_status_of_a_job(self, desk):
        desk.create("one", things=("lamp", "gate"))
        assert desk.jobs.describe("one")["status"] == "IN_PROGRESS"
        for thing in ("lamp", "gate"):
            desk.ask("one/update", {"status": "SUCCEEDED"}, thing)
        assert desk.jobs.describe("one")["status"] == "COMPLETED"

    @pytest.mark.parametrize(("force", "running"), [(False, "IN_PROGRESS"), (True, "CANCELED")])
    def test_cancel(self, desk, force, running):
        desk.create("one", things=("lamp", "gate"))
        desk.accepted("start-next")
        desk.take()
        said = desk.jobs.cancel("one", desk.now, force=force)
        found = desk.jobs.describe("one")
        assert found["status"] == "CANCELED"
        assert {thing: one["status"] for thing, one in found["executions"].items()} == {
            "lamp": running,
            "gate": "CANCELED",
        }
        assert len(said) == (4 if force else 2)

    def test_delete(self, desk):
        desk.create("one")
        desk.take()
        assert names(desk.jobs.delete("one", desk.now)) == ["notify", "notify-next"]
        assert desk.jobs.names() == []
        assert desk.rejected("one/get")["code"] == "ResourceNotFound"

    def test_mistakes_are_told(self, desk):
        desk.create("one")
        with pytest.raises(JobError, match="already"):
            desk.create("one")
        with pytest.raises(JobError, match="expected 1 to 64"):
            desk.create("a job")
        with pytest.raises(JobError, match="no job 'two': one"):
            desk.jobs.cancel("two", 0)
        with pytest.raises(JobError, match="32768"):
            desk.jobs.create("big", {"a": "x" * 32_768}, ["lamp"], 0)


class TestTimers:
    def test_the_step_timer(self, desk):
        desk.create("one")
        desk.accepted("start-next", {"stepTimeoutInMinutes": 1})
        desk.take()
        assert desk.jobs.tick(1059) == []
        assert names(desk.jobs.tick(1060)) == ["notify", "notify-next"]
        assert desk.jobs.describe("one")["executions"]["lamp"]["status"] == "TIMED_OUT"

    def test_it_is_set_anew_or_cancelled_by_an_update(self, desk):
        desk.create("one")
        desk.accepted("start-next", {"stepTimeoutInMinutes": 1})
        desk.now = 1050
        desk.accepted("one/update", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 1})
        assert desk.jobs.tick(1109) == []
        desk.accepted("one/update", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": -1})
        assert desk.jobs.tick(9999) == []

    def test_the_jobs_own_timeout_cannot_be_extended(self, desk):
        desk.create("one", timeout=60)
        assert desk.jobs.tick(9999) == []  # only what is in progress
        desk.accepted("start-next", {"stepTimeoutInMinutes": 100})
        assert names(desk.jobs.tick(1060)) == ["notify", "notify-next"]

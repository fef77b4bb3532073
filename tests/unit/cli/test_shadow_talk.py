import json

import pytest

from edgecore.base.errors import UnavailableError
from edgecore.cli import shadow_talk
from edgecore.cli.shadow_talk import Heard, ShadowRejectedError, ask, watch
from edgecore.shadow.topics import ShadowId

GATE, CONFIG = ShadowId("gate"), ShadowId("gate", "config")


class Core:
    """Answers each request with `replies`: (suffix, document); the token of the request is put in for None."""

    def __init__(self, *replies):
        self.replies, self.published, self.filters = replies, [], None

    def publish(self, topic, payload):
        self.published.append((topic, json.loads(payload)))

    def hear(self, filters, *, patience):
        self.filters = filters
        yield None
        for topic, document in self.replies:
            token = self.published[-1][1]["clientToken"] if self.published else ""
            yield Heard(topic, json.dumps({"clientToken": token, **document}).encode())


def test_what_was_accepted_is_given():
    core = Core(("$aws/things/gate/shadow/get/accepted", {"version": 3}))
    assert ask(core, GATE, "get", {})["version"] == 3
    assert core.filters == ["$aws/things/gate/shadow/get/accepted", "$aws/things/gate/shadow/get/rejected"]
    assert core.published[0][0] == "$aws/things/gate/shadow/get"


def test_answers_to_others_are_not_ours():
    theirs = ("$aws/things/gate/shadow/name/config/update/accepted", {"version": 8, "clientToken": "theirs"})
    ours = (theirs[0], {"version": 9})
    core = Core(theirs, ours)
    assert ask(core, CONFIG, "update", {"state": {"desired": {"a": 1}}})["version"] == 9
    topic, body = core.published[0]
    assert topic == "$aws/things/gate/shadow/name/config/update"
    assert body["state"] == {"desired": {"a": 1}}


def test_a_rejection_says_what_to_do():
    core = Core(("$aws/things/gate/shadow/delete/rejected", {"code": 404, "message": "No shadow exists"}))
    with pytest.raises(ShadowRejectedError, match=r"404 No shadow exists\nthose that there are: `edgecore"):
        ask(core, GATE, "delete", {})


def test_a_rejection_that_nothing_can_be_said_about():
    core = Core(("$aws/things/gate/shadow/update/rejected", {"code": 400, "message": "Invalid JSON"}))
    with pytest.raises(ShadowRejectedError, match=r"rejected: 400 Invalid JSON$"):
        ask(core, GATE, "update", {})


@pytest.mark.parametrize("passed", [0, 100])
def test_no_answer_is_no_success(monkeypatch, passed):
    moments = iter([0, *[passed] * 5])
    monkeypatch.setattr(shadow_talk.time, "monotonic", lambda: next(moments))
    core = Core(*[("$aws/things/gate/shadow/get/accepted", {"clientToken": "theirs"})] * 3)
    with pytest.raises(UnavailableError, match="shadow gate: no answer to get"):
        ask(core, GATE, "get", {})


def test_changes_of_all_shadows():
    core = Core(
        ("$aws/things/gate/shadow/update/documents", {"timestamp": 1}),
        ("$aws/things/lamp/shadow/name/config/delete/accepted", {"version": 2}),
    )
    changes = list(watch(core, "+", None))
    assert changes == [(GATE, {"timestamp": 1, "clientToken": ""}), (ShadowId("lamp", "config"), None)]
    assert core.filters == [
        "$aws/things/+/shadow/update/documents",
        "$aws/things/+/shadow/delete/accepted",
        "$aws/things/+/shadow/name/+/update/documents",
        "$aws/things/+/shadow/name/+/delete/accepted",
    ]


@pytest.mark.parametrize(("name", "filters"), [("", GATE), ("config", CONFIG)])
def test_changes_of_one(name, filters):
    core = Core()
    assert list(watch(core, "gate", name)) == []
    assert core.filters == [filters.topic("update/documents"), filters.topic("delete/accepted")]

import json
from dataclasses import replace

import pytest

from edgecore.base.group import SyncRule
from edgecore.shadow.document import NOTHING
from edgecore.shadow.replica import (
    NEVER,
    Mark,
    Push,
    Seen,
    adopt,
    ancestor,
    in_step,
    judge,
    lags,
    landed,
    next_push,
    noted,
    patched,
)

BOTH, TO_CLOUD, TO_DEVICE = SyncRule(), SyncRule("deviceToCloud"), SyncRule("cloudToDevice")
D = "desired"
R = "reported"


def made(state):
    return NOTHING.updated(state, 1)


@pytest.mark.parametrize(
    ("version", "seen"), [(4, Seen.KNOWN), (5, Seen.KNOWN), (6, Seen.NEXT), (7, Seen.GAP)]
)
def test_judge(version, seen):
    assert judge(Mark({}, 5), version) is seen


def test_patched():
    assert patched({"desired": {"a": 1}}, {"desired": {"a": None}, "reported": {"b": 1}}) == {
        "reported": {"b": 1}
    }
    assert patched({"desired": {"a": 1}}, None) == {}
    assert patched(None, {"desired": {"a": 1}}) == {"desired": {"a": 1}}


def test_marks_that_differ_in_time_only_need_no_write():
    assert not Mark({"desired": {"a": 1}}, 5, 3, 10).differs(Mark({"desired": {"a": 1}}, 5, 3, 20))
    assert Mark({}, 5, 3).differs(Mark({}, 6, 3))
    assert Mark({}, 5, 3).differs(Mark(None, 5, 3))


@pytest.mark.parametrize(
    ("name", "rule", "mark", "theirs", "ours", "push"),
    [
        ("nothing anywhere", BOTH, NEVER, None, NOTHING, None),
        ("never in the cloud", BOTH, NEVER, None, made({D: {"a": 1}}), Push("update", "", 0, {}, 1)),
        ("over a tombstone", BOTH, Mark(None, 7), None, made({D: {"a": 1}}), Push("update", "", 7, {D: {"a": 1}}, 1)),
        ("the same", BOTH, Mark({D: {"a": 1}}, 7), {D: {"a": 1}}, made({D: {"a": 1}}), None),
        ("changed", BOTH, Mark({D: {"a": 1, "b": 1}}, 7), {D: {"a": 1, "b": 1}}, made({D: {"a": 2}}), Push("update", "", 7, {D: {"a": 2, "b": None}}, 1)),
        ("deleted here", BOTH, Mark({D: {"a": 1}}, 7), {D: {"a": 1}}, made({D: {"a": 1}}).removed(), Push("delete", "", 7, None, 2)),
        ("deleted on both sides", BOTH, Mark(None, 7), None, made({}).removed(), None),
        ("empty is not absent", BOTH, Mark(None, 7), None, made({}), Push("update", "", 7, {}, 1)),
        ("the cloud's own is left alone", TO_CLOUD, Mark({D: {"a": 1}}, 7), {D: {"a": 1, "c": 1}}, made({D: {"a": 1}}), None),
        ("the cloud's change is undone", TO_CLOUD, Mark({D: {"a": 1}}, 7), {D: {"a": 9}}, made({D: {"a": 1}}), Push("update", "", 7, {D: {"a": 1}}, 1)),
        ("what was removed here goes", TO_CLOUD, Mark({D: {"a": 1, "b": 1}}, 7), {D: {"a": 1, "b": 9}}, made({D: {"a": 1}}), Push("update", "", 7, {D: {"b": None}}, 1)),
        ("deleted here, changed there", TO_CLOUD, Mark({D: {"a": 1}}, 7), {D: {"a": 9}}, made({}).removed(), Push("delete", "", 7, None, 2)),
        ("never here", TO_CLOUD, Mark(None, 7), {D: {"a": 9}}, NOTHING, None),
        ("nothing goes to the cloud", TO_DEVICE, Mark({D: {"a": 1}}, 7), {D: {"a": 1}}, made({D: {"a": 2}}), None),
    ],
)  # fmt: skip
def test_next_push(name, rule, mark, theirs, ours, push):
    assert next_push(rule, mark, theirs, ours) == push, name


@pytest.mark.parametrize(
    ("push", "body"),
    [
        (Push("update", "t", 0, {}, 1), {"state": {}, "clientToken": "t"}),
        (
            Push("update", "t", 4, {D: {"a": 1}}, 1),
            {"state": {D: {"a": 1}}, "version": 4, "clientToken": "t"},
        ),
        (Push("delete", "t", 4, None, 1), {"version": 4, "clientToken": "t"}),
    ],
)
def test_a_push_depends_on_the_version_that_is_known(push, body):
    assert push.body() == body


A1, A2, A3 = {R: {"a": 1}}, {R: {"a": 2}}, {R: {"a": 3}}
SET = Push("update", "t", 5, {R: {"a": 2}}, 1)
GONE = Push("delete", "t", 5, None, 1)


@pytest.mark.parametrize(
    ("name", "mark", "theirs", "version", "base", "left"),
    [
        ("no push", Mark(A1, 5), A3, 6, A1, None),
        ("not yet arrived", Mark(A1, 5, pending=SET), A1, 5, A1, SET),
        ("it took effect", Mark(A1, 5, pending=SET), A2, 6, A2, None),
        ("another took its place", Mark(A1, 5, pending=SET), A3, 6, A1, None),
        ("what is ours in a later version", Mark(A1, 5, pending=SET), {**A2, D: {"b": 1}}, 8, A2, None),
        ("what is not", Mark(A1, 5, pending=SET), A3, 8, A1, None),
        ("the shadow went", Mark(A1, 5, pending=SET), None, 0, A1, None),
        ("made by us, not yet arrived", Mark(None, 5, pending=SET), None, 0, None, SET),
        ("made by us", Mark(None, 5, pending=SET), A2, 6, A2, None),
        ("a first version was taken", Mark(pending=Push("update", "t", 0, {}, 1)), {}, 4, {}, None),
        ("a first version, by another", Mark(pending=Push("update", "t", 0, {}, 1)), A1, 1, None, None),
        ("deleted by us", Mark(A1, 5, pending=GONE), None, 0, None, None),
        ("not deleted yet", Mark(A1, 5, pending=GONE), A1, 5, A1, GONE),
        ("changed before we deleted", Mark(A1, 5, pending=GONE), A3, 6, A1, None),
        ("from a backup", Mark({**A3, D: {"b": 1}}, 5, pending=SET), A1, 3, {D: {"b": 1}}, None),
    ],
)  # fmt: skip
def test_what_the_cloud_s_state_comes_from(name, mark, theirs, version, base, left):
    found, pending = ancestor(mark, theirs, version)
    assert (found, pending) == (base, left), name


def test_our_own_value_that_we_did_not_know_of_is_no_change_of_the_cloud():
    mark = noted(BOTH, Mark({D: {"a": 1}}, 5), Push("update", "t", 5, {D: {"a": 2}}, 2), made({D: {"a": 2}}))
    adoption = adopt(BOTH, mark, made({D: {"a": 3}}), {D: {"a": 2}}, 6, 9)
    assert (adoption.document, adoption.conflicts) == (None, 0)
    assert next_push(BOTH, adoption.mark, {D: {"a": 2}}, made({D: {"a": 3}})).state == {D: {"a": 3}}


def test_marks_of_a_push():
    ours = made({D: {"a": 2, "b": 1}})
    push = Push("update", "t", 5, {D: {"a": 2}}, ours.version)
    mark = Mark({D: {"a": 1, "b": 1}}, 5)
    assert noted(BOTH, mark, push, ours) == replace(mark, pending=push)
    assert landed(BOTH, mark, push, 6, ours, 9) == Mark({D: {"a": 2, "b": 1}}, 6, 1, 9)
    known = noted(TO_CLOUD, Mark({D: {"c": 1}}, 5), push, ours)
    assert known.base == {D: {"a": 2, "b": 1, "c": 1}}
    assert landed(TO_CLOUD, known, push, 6, ours, 9).base == ours.state
    assert landed(TO_CLOUD, known, push, 6, ours.updated({D: {"b": None}}, 1), 9).base == known.base
    assert in_step(TO_CLOUD, Mark(None, 5), ours, 9) == Mark(ours.state, 5, 1, 9)
    assert in_step(BOTH, mark, ours, 9) is mark


@pytest.mark.parametrize(
    ("rule", "mark", "ours", "so"),
    [
        (BOTH, NEVER, NOTHING, False),
        (BOTH, NEVER, made({}), True),
        (BOTH, Mark({}, 1), made({}), False),
        (BOTH, Mark({}, 1, pending=SET), made({}), True),
        (BOTH, Mark(A1, 1), made(A2), True),
        (BOTH, Mark(A1, 1), made(A1).removed(), True),
        (TO_CLOUD, Mark(A1, 1), made(A2), True),
        (TO_DEVICE, Mark(A1, 1), made(A2), False),
    ],
)
def test_lags(rule, mark, ours, so):
    assert lags(rule, mark, ours) is so


def test_one_way_to_the_device_what_the_cloud_has_is_laid_over_ours():
    ours = made({D: {"a": 1, "b": 1}, R: {"c": 1}})
    adoption = adopt(TO_DEVICE, Mark({D: {"a": 1, "b": 1}}, 5), ours, {D: {"a": 2}}, 6, 9)
    assert adoption.document.state == {D: {"a": 2}, R: {"c": 1}}
    assert adoption.mark == Mark({D: {"a": 2}}, 6, 2, 9)
    assert adopt(TO_DEVICE, Mark({D: {"a": 1}}, 5), ours, None, 0, 9).document.deleted
    assert adopt(TO_DEVICE, NEVER, ours, None, 0, 9).document is None


def test_one_way_to_the_cloud_nothing_is_taken_in():
    ours = made({D: {"a": 1}})
    for theirs in (None, {D: {"a": 2}}, {R: {"c": 1}}):
        adoption = adopt(TO_CLOUD, Mark(ours.state, 5), ours, theirs, 6, 9)
        assert (adoption.document, adoption.mark.base) == (None, ours.state)


def suffixes(adoption):
    return [reply.suffix for reply in adoption.replies]


def test_adopting_a_change_tells_the_devices():
    ours = made({"desired": {"a": 1}, "reported": {"a": 1}})
    adoption = adopt(BOTH, Mark(ours.state, 5), ours, {"desired": {"a": 2}, "reported": {"a": 1}}, 6, 9)
    assert adoption.document.state == {"desired": {"a": 2}, "reported": {"a": 1}}
    assert adoption.document.version == 2
    assert adoption.mark == Mark({"desired": {"a": 2}, "reported": {"a": 1}}, 6, 2, 9)
    assert suffixes(adoption) == ["update/documents", "update/delta", "update/accepted"]
    assert json.loads(adoption.replies[2].payload)["state"] == {"desired": {"a": 2}}


def test_adopting_what_we_have_changes_nothing_here():
    ours = made({"desired": {"a": 1}})
    adoption = adopt(BOTH, NEVER, ours, {"desired": {"a": 1}}, 3, 9)
    assert (adoption.document, adoption.replies) == (None, ())
    assert adoption.mark == Mark({"desired": {"a": 1}}, 3, 1, 9)


def test_adopting_a_deletion():
    ours = made({"desired": {"a": 1}})
    adoption = adopt(BOTH, Mark(ours.state, 3), ours, None, 4, 9)
    assert adoption.document.deleted
    assert suffixes(adoption) == ["delete/accepted"]
    assert adopt(BOTH, Mark(None, 3), adoption.document, None, 4, 9).document is None


def test_adopting_a_shadow_that_we_lack():
    adoption = adopt(BOTH, NEVER, NOTHING, {}, 4, 9)
    assert (adoption.document.deleted, adoption.document.version, adoption.document.state) == (False, 1, {})

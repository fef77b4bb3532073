import json

import pytest

from edgecore.shadow.document import NOTHING
from edgecore.shadow.replica import NEVER, Mark, Push, Seen, adopt, judge, next_push, patched


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
    ("name", "mark", "ours", "push"),
    [
        ("nothing anywhere", NEVER, NOTHING, None),
        ("never in the cloud", NEVER, made({"desired": {"a": 1}}), Push("update", {"state": {"desired": {"a": 1}}}, 1)),
        ("over a tombstone", Mark(None, 7), made({"desired": {"a": 1}}), Push("update", {"state": {"desired": {"a": 1}}, "version": 7}, 1)),
        ("the same", Mark({"desired": {"a": 1}}, 7), made({"desired": {"a": 1}}), None),
        ("changed", Mark({"desired": {"a": 1, "b": 1}}, 7), made({"desired": {"a": 2}}), Push("update", {"state": {"desired": {"a": 2, "b": None}}, "version": 7}, 1)),
        ("deleted here", Mark({"desired": {"a": 1}}, 7), made({"desired": {"a": 1}}).removed(), Push("delete", {}, 2)),
        ("deleted on both sides", Mark(None, 7), made({}).removed(), None),
        ("empty is not absent", NEVER, made({}), Push("update", {"state": {}}, 1)),
    ],
)  # fmt: skip
def test_next_push(name, mark, ours, push):
    assert next_push(mark, ours) == push, name


def suffixes(adoption):
    return [reply.suffix for reply in adoption.replies]


def test_adopting_a_change_tells_the_devices():
    ours = made({"desired": {"a": 1}, "reported": {"a": 1}})
    adoption = adopt(Mark(ours.state, 5), ours, {"desired": {"a": 2}, "reported": {"a": 1}}, 6, 9)
    assert adoption.document.state == {"desired": {"a": 2}, "reported": {"a": 1}}
    assert adoption.document.version == 2
    assert adoption.mark == Mark({"desired": {"a": 2}, "reported": {"a": 1}}, 6, 2, 9)
    assert suffixes(adoption) == ["update/documents", "update/delta", "update/accepted"]
    assert json.loads(adoption.replies[2].payload)["state"] == {"desired": {"a": 2}}


def test_adopting_what_we_have_changes_nothing_here():
    ours = made({"desired": {"a": 1}})
    adoption = adopt(NEVER, ours, {"desired": {"a": 1}}, 3, 9)
    assert (adoption.document, adoption.replies) == (None, ())
    assert adoption.mark == Mark({"desired": {"a": 1}}, 3, 1, 9)


def test_adopting_a_deletion():
    ours = made({"desired": {"a": 1}})
    adoption = adopt(Mark(ours.state, 3), ours, None, 4, 9)
    assert adoption.document.deleted
    assert suffixes(adoption) == ["delete/accepted"]
    assert adopt(Mark(None, 3), adoption.document, None, 4, 9).document is None


def test_adopting_a_shadow_that_we_lack():
    adoption = adopt(NEVER, NOTHING, {}, 4, 9)
    assert (adoption.document.deleted, adoption.document.version, adoption.document.state) == (False, 1, {})

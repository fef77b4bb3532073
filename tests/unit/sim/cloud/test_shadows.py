"""The shadow service beyond the vectors: topics, tombstones, storage."""

import json

import pytest

from edgecore.sim.cloud.shadows import TOMBSTONE_SECONDS, Key, Shadow, Shadows, parse_topic

KEY = Key("lamp")


class Service(Shadows):
    def __init__(self):
        self.written = []
        super().__init__(lambda key, shadow: self.written.append((key, shadow)))

    def ask(self, operation, payload=b"", now=100, key=KEY):
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        replies = self.handle(key, operation, payload, now)
        return {reply.topic.removeprefix(key.prefix + "/"): json.loads(reply.payload) for reply in replies}


@pytest.fixture
def service():
    return Service()


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$aws/things/lamp/shadow/get", (Key("lamp"), "get")),
        ("$aws/things/lamp/shadow/name/$cfg/update", (Key("lamp", "$cfg"), "update")),
        ("$aws/things/lamp/shadow/delete", (Key("lamp"), "delete")),
        ("$aws/things/lamp/shadow/get/accepted", None),
        ("$aws/things/lamp/shadow/name/get", None),
        ("$aws/things/" + "x" * 129 + "/shadow/get", None),
        ("$aws/things/lamp/shadow/name/" + "x" * 65 + "/get", None),
        ("$aws/things/la mp/shadow/get", None),
        ("dt/lamp/shadow/get", None),
    ],
)
def test_topics_of_requests(topic, expected):
    assert parse_topic(topic) == expected


def test_the_order_is_documents_delta_accepted(service):
    replies = service.handle(KEY, "update", b'{"state":{"desired":{"a":1}}}', 1)
    assert [reply.topic.rpartition("/")[2] for reply in replies] == ["documents", "delta", "accepted"]


def test_named_shadows_are_apart_and_named_in_errors(service):
    service.ask("update", {"state": {"reported": {"a": 1}}})
    answer = service.ask("get", key=Key("lamp", "config"))
    assert answer == {"get/rejected": {"code": 404, "message": "No shadow exists with name: 'lamp~config'"}}


def test_a_shadow_made_again_soon_continues_its_numbers(service):
    service.ask("update", {"state": {"reported": {"a": 1}}})
    assert service.ask("delete", now=100)["delete/accepted"]["version"] == 1
    answer = service.ask("update", {"state": {"reported": {"a": 1}}}, now=100 + TOMBSTONE_SECONDS)
    assert answer["update/accepted"]["version"] == 3
    assert answer["update/documents"]["previous"] is None


def test_after_two_days_it_begins_anew(service):
    service.ask("update", {"state": {"reported": {"a": 1}}})
    service.ask("delete", now=100)
    answer = service.ask("update", {"state": {"reported": {"a": 1}}}, now=101 + TOMBSTONE_SECONDS)
    assert answer["update/accepted"]["version"] == 1


def test_every_change_is_told_and_what_is_loaded_is_not(service):
    service.load([(KEY, Shadow(7, {"reported": {"a": 1}}, {"reported": {"a": {"timestamp": 1}}}, 1))])
    assert service.written == []
    service.ask("update", {"state": None})
    service.ask("delete")
    assert [(key, shadow.version, shadow.exists) for key, shadow in service.written] == [
        (KEY, 8, True),
        (KEY, 9, False),
    ]
    assert service.items() == [(KEY, service.written[-1][1])]


@pytest.mark.parametrize("payload", [b"[]", b"5", b'{"state":{"desired":{"a":NaN}}}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(service, payload):
    assert service.ask("update", payload)["update/rejected"]["code"] == 400


def test_a_delete_of_another_version_is_a_conflict(service):
    service.ask("update", {"state": {"reported": {"a": 1}}})
    assert service.ask("delete", {"version": 9})["delete/rejected"]["code"] == 409


def test_refused_updates_change_nothing(service):
    service.ask("update", {"state": {"reported": {"a": 1}}})
    before = service.ask("get")
    service.ask("update", {"state": {"reported": {"b": "x" * 9000}}})
    service.ask("update", {"state": {"reported": {"b": 1}}, "version": 7})
    assert service.ask("get") == before

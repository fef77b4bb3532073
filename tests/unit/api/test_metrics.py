import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgecore import __version__
from edgecore.api.metrics import LATENCY, SOURCES, Source, StatusCollector, exposition


def samples(statuses):
    text = exposition(statuses).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_core_without_units_still_says_what_it_is():
    assert samples({}) == {("edgecore_info", __version__): 1.0}


def test_units_are_up_or_not_and_count_their_restarts():
    found = samples(
        {"api": {"state": "running", "restarts": 2}, "camera": {"state": "broken", "restarts": 5}}
    )
    assert found["edgecore_unit_up", "api"] == 1.0
    assert found["edgecore_unit_up", "camera"] == 0.0
    assert found["edgecore_unit_restarts_total", "camera"] == 5.0


def test_plain_objects_have_no_restarts():
    assert ("edgecore_unit_restarts_total", "router") not in samples({"router": {"state": "running"}})


def test_values_come_from_the_services_own_status():
    status = {"published": 7, "denied": {"device:a": 2, 'device:"b"': 1}}
    found = samples({"router": {"state": "running", "status": status}})
    assert found["edgecore_messages_published_total",] == 7.0
    assert found["edgecore_messages_denied_total", "device:a"] == 2.0
    assert found["edgecore_messages_denied_total", 'device:"b"'] == 1.0


@pytest.mark.parametrize("status", [None, {}, {"published": "many"}, {"published": None}, {"denied": 3}])
def test_what_is_not_known_has_no_sample(status):
    found = samples({"router": {"state": "running", "status": status}})
    assert not any(name.startswith("edgecore_messages") for name, *_ in found)


def test_a_field_of_each_entry_of_a_table():
    source = Source("x_frames", "counter", "Frames.", "eye", ("cameras",), "camera", "frames")
    status = {"cameras": {"north": {"frames": 3}, "south": {"state": "broken"}}}
    families = list(StatusCollector({"eye": {"status": status}}, [source]).collect())
    [sample] = families[-1].samples
    assert (sample.name, sample.labels, sample.value) == ("x_frames_total", {"camera": "north"}, 3.0)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_names_follow_the_convention(source):
    assert source.name.startswith("edgecore_")
    assert not source.name.endswith("_total")
    assert source.help.endswith(".")


def test_the_wait_for_acknowledgements_is_a_histogram():
    waits = {"buckets": [["0.001", 2], ["0.01", 3], ["+Inf", 4]], "sum": 0.25}
    found = samples({"listener": {"state": "running", "status": {"acknowledged": waits}}})
    assert found[f"{LATENCY}_bucket", "0.01"] == 3.0
    assert found[f"{LATENCY}_bucket", "+Inf"] == found[f"{LATENCY}_count",] == 4.0
    assert found[f"{LATENCY}_sum",] == 0.25


def test_sessions_that_are_kept_and_what_waits_for_them():
    kept = {"sessions": 5, "away": 4, "expired": 3, "queued": 20, "in_flight": 2, "bytes": 900}
    lost = {"overflow": 6, "not-allowed": 1}
    found = samples({"listener": {"status": {"kept": {**kept, "dropped": lost}}}})
    assert found["edgecore_kept_sessions",] == 5.0
    assert found["edgecore_kept_sessions_away",] == 4.0
    assert found["edgecore_kept_expired_sessions_total",] == 3.0
    assert found["edgecore_kept_queued_messages",] == 20.0
    assert found["edgecore_kept_in_flight_messages",] == 2.0
    assert found["edgecore_kept_bytes",] == 900.0
    assert found["edgecore_kept_dropped_messages_total", "overflow"] == 6.0
    assert found["edgecore_kept_dropped_messages_total", "not-allowed"] == 1.0


def test_who_comes_by_which_port_and_who_is_not_let_in():
    listener = {
        "connections_by_port": {"mqtt": 3, "websocket": 2, "password": 1},
        "refused_connects": {"not_authorized": 4, "bad_user_name_or_password": 5},
        "traffic": {"sockets": 20, "connects": 10},
        "takeovers": 1,
        "passwords_waiting": 7,
    }
    router = {"subscriptions": 8, "shared_subscriptions": 2, "retained": 3, "retained_bytes": 60}
    found = samples({"listener": {"status": listener}, "router": {"status": router}})
    assert found["edgecore_listener_port_connections", "websocket"] == 2.0
    assert found["edgecore_listener_port_connections", "password"] == 1.0
    assert found["edgecore_listener_refused_connects_total", "bad_user_name_or_password"] == 5.0
    assert found["edgecore_listener_opened_connections_total",] == 20.0
    assert found["edgecore_listener_received_connects_total",] == 10.0
    assert found["edgecore_listener_takeovers_total",] == 1.0
    assert found["edgecore_listener_waiting_passwords",] == 7.0
    assert found["edgecore_shared_subscriptions",] == 2.0
    assert found["edgecore_retained_bytes",] == 60.0


def test_salvaged_rows_are_summed_for_each_damaged_file():
    salvaged = {"edgecore.sqlite.damaged-1": {"sessions": 2, "queue_records": 40}, "registry.damaged-2": {}}
    found = samples({"store": {"status": {"salvaged": salvaged}}})
    assert found["edgecore_store_salvaged_rows", "edgecore.sqlite.damaged-1"] == 42.0
    assert found["edgecore_store_salvaged_rows", "registry.damaged-2"] == 0.0


def test_what_the_listener_has_moved_and_who_was_denied():
    listener = {"traffic": {"bytes_sent": 5, "publishes_received": 6}, "queued": 7, "refused": {"connect": 8}}
    router = {"denied_by_kind": {"device": 9}}
    found = samples({"listener": {"status": listener}, "router": {"status": router}})
    assert found["edgecore_listener_sent_bytes_total",] == 5.0
    assert found["edgecore_listener_received_publishes_total",] == 6.0
    assert found["edgecore_listener_queued_messages",] == 7.0
    assert found["edgecore_listener_refused_total", "connect"] == 8.0
    assert found["edgecore_denials_total", "device"] == 9.0

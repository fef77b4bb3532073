import logging

from edgecore.listener.refusals import MAX_REMEMBERED, REPEAT_AFTER, Refusals


def test_each_peer_and_kind_is_logged_once_in_a_while_and_always_counted(caplog):
    refusals = Refusals()
    with caplog.at_level(logging.WARNING):
        for now in (0.0, 1.0, 2.0):
            refusals.note("handshake", "192.0.2.1", "no certificate", now)
        refusals.note("handshake", "192.0.2.2", "no certificate", 2.0)
        refusals.note("connect", "192.0.2.1", "not known", 2.0)
        refusals.note("handshake", "192.0.2.1", "no certificate", REPEAT_AFTER)
    assert [record.getMessage() for record in caplog.records] == [
        "192.0.2.1 refused (handshake): no certificate",
        "192.0.2.2 refused (handshake): no certificate",
        "192.0.2.1 refused (connect): not known",
        "192.0.2.1 refused (handshake): no certificate",
    ]
    assert refusals.counts == {"handshake": 5, "connect": 1}


def test_a_flood_of_peers_fills_neither_memory_nor_log(caplog):
    refusals = Refusals()
    with caplog.at_level(logging.WARNING):
        for number in range(MAX_REMEMBERED + 50):
            refusals.note("handshake", str(number), "x", 0.0)
        assert len(caplog.records) == MAX_REMEMBERED
        refusals.note("handshake", "late", "x", REPEAT_AFTER + 1)
    assert len(caplog.records) == MAX_REMEMBERED + 1
    assert refusals.counts["handshake"] == MAX_REMEMBERED + 51


def test_where_each_reason_is_news_a_second_one_is_logged_too(caplog):
    refusals = Refusals()
    for reason in ("expired", "foreign", "expired"):
        refusals.note("handshake", "192.0.2.1", reason, 1.0, each=True)
    assert [record.getMessage() for record in caplog.records] == [
        "192.0.2.1 refused (handshake): expired",
        "192.0.2.1 refused (handshake): foreign",
    ]
    assert refusals.counts["handshake"] == 3

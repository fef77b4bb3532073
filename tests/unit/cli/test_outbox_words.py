from edgecore.cli.outbox_words import as_object, details, print_list

MESSAGE = {
    "id": "3-17",
    "topic": "t/\x1b[31m",
    "bytes": 2,
    "time": 60.0,
    "reason": "two\nlines",
    "came_at": 0.0,
    "qos": 1,
    "sender": "device:a",
}


def test_nothing_steers_the_terminal(capsys):
    print_list([MESSAGE])
    shown = capsys.readouterr().out + "".join(details(MESSAGE))
    assert "\x1b[31m" not in shown
    assert shown.count("two\\nlines") == 2
    assert "3-17" in shown


def test_one_that_cannot_be_read_has_no_sender():
    assert [line.split()[0] for line in details({**MESSAGE, "sender": ""})] == ["topic", "set"]


def test_the_payload_as_text_or_base64():
    answer = {**MESSAGE, "payload": "aGk="}
    assert as_object(answer, b"hi") == {**MESSAGE, "payload": "hi"}
    assert as_object(answer, b"\xff") == {**MESSAGE, "payload_base64": "/w=="}

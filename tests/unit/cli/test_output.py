import json

from edgecore.cli.output import console, emit, emit_json, say


def test_words_and_data_go_different_ways(capsys):
    say("progress")
    emit("data")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("data\n", "progress\n")


def test_json_of_a_stream_is_one_line(capsys):
    emit_json({"topic": "ä", "qos": 1}, compact=True)
    assert capsys.readouterr().out == '{"topic": "ä", "qos": 1}\n'


def test_json_for_a_person_is_indented(capsys):
    emit_json({"a": {"b": 1}})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": {"b": 1}}
    assert len(text.splitlines()) == 5


def test_no_colour_where_it_is_not_wanted(capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console().print("[red]broken[/red]")
    assert capsys.readouterr().out == "broken\n"

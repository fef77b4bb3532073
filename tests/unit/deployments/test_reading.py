from __future__ import annotations

import pytest

from edgecore.base.errors import ConfigError
from edgecore.deployments.reading import (
    MISSING,
    Faults,
    FaultyFileError,
    did_you_mean,
    join,
    parse,
    show,
    suggest,
)


def table(text):
    return parse(text, Faults("f.toml"))


def faults_of(top):
    return [(fault.key, fault.found, fault.expected) for fault in top.faults.found]


def test_text_that_is_no_toml():
    with pytest.raises(ConfigError, match=r"f.toml: found text that is not TOML \(.*line 1"):
        table("a = \n")


def test_values_of_every_kind():
    top = table(
        'a = "x"\nb = true\nc = 3\nd = 0.5\ne = "2s"\nf = "1KB"\ng = ["p", "q"]\nh = "r"\ni = { k = "v", e = "" }'
    )
    assert (top.text("a"), top.flag("b", default=False), top.whole("c", 0, 0, 9)) == ("x", True, 3)
    assert (top.fraction("d"), top.duration("e", 1.0), top.size("f", 1)) == (0.5, 2.0, 1000)
    assert (top.texts("g"), top.texts("h"), top.pairs("i")) == (("p", "q"), ("r",), {"k": "v", "e": ""})
    top.finish()
    assert faults_of(top) == []


def test_defaults():
    top = table("")
    assert (top.text("a", "x"), top.flag("b", default=True), top.whole("c", 4, 0, 9)) == ("x", True, 4)
    assert (top.fraction("d"), top.duration("e", 1.5), top.size("f", 7)) == (None, 1.5, 7)
    assert (top.texts("g"), top.pairs("h"), top.table("i"), top.items("j")) == ((), {}, None, [])
    assert (list(top.each_table("k")), list(top.list_of_tables("l")), top.raw("m")) == ([], [], MISSING)
    top.finish()
    assert faults_of(top) == []


@pytest.mark.parametrize(
    ("text", "ask", "found"),
    [
        ("a = 3", lambda top: top.text("a"), "3"),
        ('a = ""', lambda top: top.text("a"), "''"),
        ("a = 1", lambda top: top.flag("a", default=False), "1"),
        ("a = true", lambda top: top.whole("a", 0, 0, 2), "true"),
        ("a = 3", lambda top: top.whole("a", 0, 0, 2), "3"),
        ("a = 1.5", lambda top: top.fraction("a"), "1.5"),
        ("a = nan", lambda top: top.fraction("a"), "nan"),
        ("a = true", lambda top: top.fraction("a"), "true"),
        ('a = "1"', lambda top: top.fraction("a"), "'1'"),
        ("a = 3", lambda top: top.duration("a", 1.0), "3"),
        ('a = "0s"', lambda top: top.duration("a", 1.0), "'0s'"),
        ('a = "3"', lambda top: top.size("a", 1), "'3'"),
        ("a = []", lambda top: top.texts("a"), "[]"),
        ("a = [1]", lambda top: top.texts("a"), "[1]"),
        ('a = [""]', lambda top: top.texts("a"), "['']"),
        ("a = 3", lambda top: top.table("a"), "3"),
        ("a = 3", lambda top: top.pairs("a"), "3"),
        ("a = {}", lambda top: top.items("a"), "a table"),
        ("a = 3", lambda top: list(top.each_table("a")), "3"),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_fault(text, ask, found):
    top = table(text)
    ask(top)
    ((key, what, expected),) = faults_of(top)
    assert (key, what) == ("a", found)
    assert expected


def test_inner_tables_have_dotted_paths():
    top = table("[a.b]\nc = 1\n[a.'d e']\nc = 1\n[[l]]\nx = 1\n")
    paths = [inner.at("c") for _, inner in top.each_table("a")]
    paths += [inner.at("x") for inner in top.list_of_tables("l")]
    assert paths == ["a.b.c", 'a."d e".c', "l[0].x"]


def test_wrong_inner_values_are_named():
    top = table("l = [3]\n[a]\nb = 1\n[p]\nq = 1")
    assert list(top.each_table("a")) == []
    assert list(top.list_of_tables("l")) == []
    assert top.pairs("p") == {"q": ""}
    assert [key for key, *_ in faults_of(top)] == ["a.b", "l[0]", "p.q"]


def test_an_unknown_key_is_a_fault_with_a_suggestion():
    top = table("evry = 1")
    top.has("every")
    top.has("topic")
    top.finish()
    (fault,) = top.faults.found
    assert str(fault) == (
        "f.toml: evry: found a key that is not known, expected one of every, topic. Did you mean 'every'?"
    )


def test_a_needed_key_is_a_fault_when_absent():
    top = table("")
    assert not top.need("topic", "a topic")
    top.finish()
    assert faults_of(top) == [("topic", "nothing", "a topic")]


def test_a_needed_key_that_is_misspelt_is_one_fault():
    top = table('topc = "x"')
    top.need("topic", "a topic")
    top.finish()
    assert [key for key, *_ in faults_of(top)] == ["topc"]


def test_what_is_not_available_yet_is_said():
    top = table("priority = 3")
    top.not_yet("priority", "ordered")
    top.finish()
    (fault,) = top.faults.found
    assert "priority is not available yet" in str(fault)


def test_one_fault_is_raised_itself_and_several_together():
    faults = Faults("f.toml")
    faults.raise_any()
    faults.add("a", "1", "2")
    with pytest.raises(ConfigError) as one:
        faults.raise_any()
    assert type(one.value) is ConfigError
    faults.add("b", "3", "4", "Do this")
    with pytest.raises(FaultyFileError) as many:
        faults.raise_any()
    assert str(many.value) == "f.toml: a: found 1, expected 2\nf.toml: b: found 3, expected 4. Do this"
    assert (many.value.key, len(many.value.faults)) == ("a", 2)


def test_words():
    assert join("", "a") == "a"
    assert join("a", "b c") == 'a."b c"'
    assert show({"a": 1}) == "a table"
    assert show("x" * 100).endswith("...")
    assert suggest("loop-nort", ["loop-north", "loop-south"]) == "loop-north"
    assert did_you_mean(suggest("zzz", ["loop-north"])) == ""

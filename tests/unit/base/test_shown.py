import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.shown import lines, one_line

# What has no shape of its own and does something all the same: controls, formats that turn the order round.
STEERING = {"Cc", "Cs", "Zl", "Zp"}


def test_what_everybody_reads_is_left_alone():
    text = "\tjunction/north - 21.5 °C ünïcödé 漢字 🚦 <b>\"quoted\" 'single' \\back"
    assert one_line(text) == lines(text) == text


def test_line_ends_are_kept_only_where_lines_are_meant():
    assert lines("a\nb") == "a\nb"
    assert one_line("a\nb") == "a\\nb"


def test_what_steers_is_shown_by_its_number():
    assert one_line("\x1b[2J\x07") == "\\u001b[2J\\u0007"
    assert one_line("a\u202eb\u2066c\u200f") == "a\\u202eb\\u2066c\\u200f"
    assert lines("a\r\nb\x85\u2028c\x9b31m\x7f") == "a\\u000d\nb\\u0085\\u2028c\\u009b31m\\u007f"


@given(st.text())
def test_nothing_steers_any_more(text):
    for shown in (one_line(text), lines(text)):
        left = {character for character in shown if unicodedata.category(character) in STEERING}
        assert left <= {"\t", "\n"}
        shown.encode()
    assert "\n" not in one_line(text)


@given(st.text())
def test_json_stays_the_same_json(text):
    assert json.loads(lines(json.dumps({"a": text}, ensure_ascii=False, indent=2))) == {"a": text}

"""Whatever stands in a group.toml: it is read, or refused with a ConfigError that names the file; never else."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecore.base.errors import ConfigError
from edgecore.base.group import Group
from edgecore.base.topic import bind, check_filter, intersects
from edgecore.deployments import load_group

KEYS = st.sampled_from(
    [
        *(
            "group",
            "devices",
            "cameras",
            "functions",
            "routes",
            "secrets",
            "name",
            "thing",
            "attributes",
            "shadow",
        ),
        *(
            "sync",
            "named",
            "source",
            "topic",
            "model",
            "every",
            "lines",
            "privacy",
            "qos",
            "handler",
            "result",
        ),
        *(
            "timeout",
            "memory",
            "environment",
            "invoke",
            "from",
            "to",
            "as",
            "expiry",
            "a",
            "b c",
            "loop-north",
            "",
        ),
    ]
)
WORDS = st.sampled_from(
    [
        *(
            "device:*",
            "device:a",
            "function:a",
            "camera:a",
            "cloud",
            "shadow",
            "core",
            "dt/${thing}/#",
            "a/${target}",
        ),
        *(
            "$aws/things/+/shadow/#",
            "#",
            "+",
            "a/b",
            "synthetic:traffic",
            "file:x",
            "..",
            "/etc",
            "3s",
            "64MB",
            "",
        ),
        *("app.handler", "a\0b", "x" * 200, "${", "é"),
    ]
)
SCALARS = st.one_of(WORDS, st.integers(-3, 3), st.booleans(), st.floats(), st.text(max_size=8))
POINTS = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), max_size=4)
VALUES = st.recursive(
    st.one_of(SCALARS, POINTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
SECTION = st.dictionaries(st.sampled_from(["a", "loop-north", "b c"]), VALUES, max_size=2)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "group": st.one_of(st.just({"name": "g"}), VALUES),
        "devices": st.one_of(SECTION, VALUES),
        "cameras": st.one_of(SECTION, VALUES),
        "functions": st.one_of(SECTION, VALUES),
        "routes": st.lists(
            st.dictionaries(st.sampled_from(["from", "topic", "to", "as", "qos"]), VALUES), max_size=3
        ),
        "x": VALUES,
    },
)


def toml(value):
    """The value as TOML writes it, in line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read(text):
    """The group of a file with this text, or None when it is refused as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "group.toml"
        path.write_text(text, "utf-8", "surrogatepass")
        try:
            return load_group(Path(folder))
        except ConfigError as error:
            refusal = str(error)
        assert refusal.startswith(str(path))
        return None


@settings(max_examples=300, deadline=None)
@given(FILES)
@example({"group": {"name": "g"}, "routes": [{"from": "cloud", "topic": "a", "to": "shadow"}]})
@example({"group": {"name": "g"}, "devices": {"a": {"shadow": {"sync": True, "named": []}}}})
def test_any_tables(content):
    group = read("\n".join(f"{key} = {toml(value)}" for key, value in content.items()))
    assert group is None or isinstance(group, Group)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text(text):
    group = read(text)
    assert group is None


LEVELS = st.sampled_from(["a", "b", "+", "${thing}", "$aws", "things", "shadow"])
TOPICS = st.tuples(st.lists(LEVELS, min_size=1, max_size=5), st.booleans()).map(
    lambda found: "/".join([*found[0], *(["#"] if found[1] else [])])
)


@settings(max_examples=200, deadline=None)
@given(TOPICS, TOPICS)
def test_accepted_cloud_rows_never_meet(sent, received):
    group = read(
        '[group]\nname = "g"\n'
        f'[[routes]]\nfrom = "device:*"\ntopic = "{sent}"\nto = "cloud"\n'
        f'[[routes]]\nfrom = "cloud"\ntopic = "{received}"\nto = "device:*"\n'
    )
    if group is None:
        return
    for pattern in (sent, received):
        check_filter(bind(pattern))
        assert not intersects(bind(pattern), "$aws/things/+/shadow/#")
    assert not intersects(bind(sent), bind(received))

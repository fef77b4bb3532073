import pytest

from edgecore.base import identity


def test_ids_by_kind():
    assert identity.device("d").id == "device:d"
    assert identity.device("d").thing == "d"
    assert identity.device("d", "t").thing == "t"
    assert str(identity.function("f")) == "function:f"
    assert identity.camera("c").id == "camera:c"
    assert identity.operator("root").id == "operator:root"
    assert [each.id for each in (identity.CLOUD, identity.SHADOW, identity.CORE)] == [
        "cloud",
        "shadow",
        "core",
    ]


def test_equal_principals_are_equal_and_hash_alike():
    assert len({identity.device("d"), identity.device("d"), identity.device("d", "t")}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a-b_C:9", True), ("", False), ("a b", False), ("ä", False), ("x" * 129, False), ("a\n", False)],
)
def test_names(text, expected):
    assert identity.is_name(text) is expected

"""The rules of conditions that the policy tables do not show."""

import pytest

from edgecore.sim.cloud.conditions import OPERATORS, Condition, holds


def as_is(text, _context):
    return text


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_absent_key_passes_only_what_is_negated_or_optional(operator):
    absent = Condition(operator, "iot:X", ("a",))
    assert holds(absent, {}, as_is) is OPERATORS[operator][1]
    assert holds(Condition(operator, "iot:X", ("a",), optional=True), {}, as_is)


def test_a_negated_operator_must_hold_for_every_value():
    condition = Condition("StringNotEquals", "k", ("a",))
    assert not holds(condition, {"k": ("a", "b")}, as_is)
    assert holds(condition, {"k": ("c", "b")}, as_is)


def test_wildcards_of_values_count_only_in_like():
    assert not holds(Condition("StringEquals", "k", ("a*",)), {"k": ("ab",)}, as_is)
    assert holds(Condition("StringLike", "k", ("a*",)), {"k": ("ab",)}, as_is)


def test_values_are_substituted():
    condition = Condition("StringEquals", "k", ("v",))
    assert holds(condition, {"k": ("V",)}, lambda text, _context: text.upper())

"""The conditions of an AWS IoT policy statement. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Context = Mapping[str, tuple[str, ...]]
_Compare = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """Operator, key and values of one condition. `optional`: an absent key passes (...IfExists)."""

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: str = ""
    optional: bool = False


def _like(found: str, wanted: str) -> bool:
    pattern = re.escape(wanted).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, found, re.DOTALL) is not None


def _in_network(found: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(found) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _equal_ignoring_case(found: str, wanted: str) -> bool:
    return found.casefold() == wanted.casefold()


def _equal(found: str, wanted: str) -> bool:
    return found == wanted


# Operator -> (comparison, whether it is the negated form).
OPERATORS: Final[dict[str, tuple[_Compare, bool]]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_equal_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnLike": (_like, False),
    "ArnEquals": (_like, False),
    "Bool": (_equal_ignoring_case, False),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
}


def holds(condition: Condition, context: Context, substitute: Callable[[str, Context], str]) -> bool:
    """Whether the condition is fulfilled; `substitute` puts variables into its values."""
    found = context.get(condition.key.lower(), ())
    if not found and condition.optional:
        return True
    wanted = [substitute(value, context) for value in condition.values]
    compare, negated = OPERATORS[condition.operator]

    def passes(value: str) -> bool:
        return any(compare(value, one) for one in wanted) is not negated

    if condition.quantifier == "ForAllValues":
        return all(passes(value) for value in found)
    if not found:
        # IAM: a negated operator is true of a key that is not there, any other is false.
        return negated and condition.quantifier == ""
    return any(passes(value) for value in found) if not negated else all(passes(value) for value in found)

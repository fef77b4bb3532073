"""AWS IoT policies: read a document, decide an action. Pure.

What is held: IAM's evaluation (denied unless allowed, an explicit Deny wins), wildcards `*` and `?`,
policy variables, NotAction and NotResource, and the conditions below. `+` and `#` are plain characters.
A resource is compared without its region and account: the simulated cloud has neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.conditions import OPERATORS, Condition, holds

# Service quotas: size without white space, and policies on one certificate.
MAX_CHARACTERS: Final = 2048
MAX_ATTACHED: Final = 10

# Name of a variable -> its values. Most have one.
Context = Mapping[str, tuple[str, ...]]

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
# A value with one of these, or longer than 1024 characters, is not put in for its variable.
_UNSAFE: Final = re.compile(r"[*$+?#]")
MAX_VALUE: Final = 1024
# IAM's way to write a plain "*", "?" or "$".
_LITERALS: Final = ("*", "?", "$")

_KEYS: Final = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `negated_*`: whether the document says NotAction or NotResource."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    negated_actions: bool = False
    negated_resources: bool = False

    def applies(self, action: str, resource: str, context: Context) -> bool:
        """Whether the statement speaks of this action on this resource in this context."""
        named = any(_matches(one.lower(), action.lower(), {}) for one in self.actions)
        if named == self.negated_actions:
            return False
        meant = any(_matches(_id_of(one), resource, context) for one in self.resources)
        if meant == self.negated_resources:
            return False
        return all(holds(one, context, substitute) for one in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document."""

    name: str
    statements: tuple[Statement, ...]


def decide(policies: Iterable[Policy], action: str, resource: str, context: Context) -> bool:
    """Whether `action` ("iot:Publish") on `resource` ("topic/a/b") is allowed."""
    allowed = False
    for policy in policies:
        for statement in policy.statements:
            if statement.applies(action, resource, context):
                if not statement.allows:
                    return False
                allowed = True
    return allowed


def substitute(text: str, context: Context, quote: Callable[[str], str] = str) -> str:
    """`text` with its variables replaced; what cannot be resolved stays as text. `quote` is for values."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in _LITERALS:
            return quote(name)
        values = context.get(name.lower(), ())
        if len(values) != 1 or len(values[0]) > MAX_VALUE or _UNSAFE.search(values[0]):
            return quote(match[0])
        return quote(values[0])

    return _VARIABLE.sub(value, text)


def _id_of(resource: str) -> str:
    """`topic/a` of `arn:aws:iot:REGION:ACCOUNT:topic/a`."""
    parts = resource.split(":", 5)
    return parts[5] if len(parts) == 6 and parts[0] == "arn" else resource


def _matches(pattern: str, text: str, context: Context) -> bool:
    return _compile(_expression(pattern, context)).fullmatch(text) is not None


def _expression(pattern: str, context: Context) -> str:
    """A regular expression for a pattern: its wildcards count, those of a variable's value do not."""
    parts = []
    end = 0
    for match in _VARIABLE.finditer(pattern):
        parts.append(_wildcards(pattern[end : match.start()]))
        parts.append(substitute(match[0], context, re.escape))
        end = match.end()
    parts.append(_wildcards(pattern[end:]))
    return "".join(parts)


def _wildcards(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


@lru_cache(maxsize=4096)
def _compile(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL)


# -- reading ---------------------------------------------------------------------------------------


def read_policy(name: str, document: Any) -> Policy:  # noqa: ANN401  JSON, checked here
    """The policy in a parsed JSON document. Raises ConfigError, naming the place."""
    if not isinstance(document, dict):
        raise ConfigError(name, "", type(document).__name__, "a policy: an object with Version and Statement")
    _check_size(name, document)
    statements = document.get("Statement")
    many = statements if isinstance(statements, list) else [statements]
    return Policy(name, tuple(_statement(name, f"Statement[{i}]", one) for i, one in enumerate(many)))


def _check_size(name: str, document: dict[str, Any]) -> None:
    size = len(re.sub(r"\s", "", json.dumps(document, separators=(",", ":"))))
    if size > MAX_CHARACTERS:
        raise ConfigError(
            name, "", f"{size} characters", f"at most {MAX_CHARACTERS} without white space, as AWS"
        )


def _statement(name: str, where: str, found: Any) -> Statement:  # noqa: ANN401  JSON, checked here
    if not isinstance(found, dict):
        raise ConfigError(name, where, repr(found), "an object with Effect, Action and Resource")
    unknown = sorted(set(found) - _KEYS)
    if unknown:
        raise ConfigError(
            name, f"{where}.{unknown[0]}", "an unknown key", f"one of {', '.join(sorted(_KEYS))}"
        )
    if found.get("Effect") not in ("Allow", "Deny"):
        raise ConfigError(name, f"{where}.Effect", repr(found.get("Effect")), '"Allow" or "Deny"')
    actions, not_actions = _texts(name, where, found, "Action")
    resources, not_resources = _texts(name, where, found, "Resource")
    tests = _conditions(name, f"{where}.Condition", found.get("Condition", {}))
    return Statement(found["Effect"] == "Allow", actions, resources, tests, not_actions, not_resources)


def _texts(name: str, where: str, found: dict[str, Any], key: str) -> tuple[tuple[str, ...], bool]:
    """The values of Action or NotAction (Resource or NotResource), and whether it is the Not form."""
    given = [one for one in (key, f"Not{key}") if one in found]
    if len(given) != 1:
        raise ConfigError(name, where, " and ".join(given) or f"no {key}", f"one of {key} and Not{key}")
    value = found[given[0]]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(one, str) and one for one in texts):
        raise ConfigError(name, f"{where}.{given[0]}", repr(value), "a string or a list of strings")
    return tuple(texts), given[0] != key


def _conditions(name: str, where: str, found: Any) -> tuple[Condition, ...]:  # noqa: ANN401  JSON, checked here
    if not isinstance(found, dict):
        raise ConfigError(name, where, repr(found), "an object: operator, key, values")
    tests = []
    for written, keys in found.items():
        quantifier, _, operator = written.rpartition(":")
        optional = operator.endswith("IfExists")
        operator = operator.removesuffix("IfExists")
        if operator not in OPERATORS or quantifier not in ("", "ForAnyValue", "ForAllValues"):
            known = ", ".join(OPERATORS)
            raise ConfigError(name, f"{where}.{written}", "an operator not simulated", f"one of {known}")
        for key, value in keys.items():
            values = tuple(str(one) for one in (value if isinstance(value, list) else [value]))
            tests.append(Condition(operator, key, values, quantifier, optional))
    return tuple(tests)

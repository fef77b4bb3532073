"""Reads the account of the simulated cloud from its folder: policies/*.json and things.json.

    things.json   {"lamp": {"type": "Lamp", "attributes": {"lane": "north"}, "policies": ["devices"],
                            "certificates": ["things/lamp.cert.pem"]},
                   "*":    {"policies": ["devices"]}}

`certificates` are files of the folder or certificate ids; without it things/NAME.cert.pem, and
core.cert.pem for the thing "core". A thing without `policies` may do everything; "*" speaks of all
certificates that belong to no thing.
"""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from typing import Any, Final

import msgspec

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.access import Account, Holder, Thing
from edgecore.sim.cloud.certificates import certificate_id
from edgecore.sim.cloud.policy import MAX_ATTACHED, Policy, read_policy

THINGS: Final = "things.json"
POLICIES: Final = "policies"
OTHERS: Final = "*"

_ID: Final = re.compile(r"[0-9a-f]{64}")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    type: str = ""
    attributes: dict[str, str] = {}
    policies: list[str] | None = None
    certificates: list[str] | None = None
    active: bool = True


def read_account(folder: Path) -> Account:
    """The account in `folder`; without files everybody may do everything. Raises ConfigError."""
    policies = {path.stem: read_policy(str(path), _json(path)) for path in _documents(folder)}
    table = folder / THINGS
    if not table.exists():
        return Account()
    entries = _entries(table)
    holders: dict[str, Holder] = {}
    for name, entry in entries.items():
        attached = _attached(table, name, entry, policies)
        for each in _certificates(table, folder, name, entry):
            before = holders.get(each)
            things = dict((before.things or {}) if before else {})
            things[name] = Thing(name, entry.type, entry.attributes)
            holders[each] = Holder(things, _joined(before, attached), entry.active)
    others = entries.get(OTHERS)
    rest = Holder({}, _attached(table, OTHERS, others, policies), others.active) if others else Holder({})
    return Account(holders, rest)


def _documents(folder: Path) -> list[Path]:
    return sorted((folder / POLICIES).glob("*.json"))


def _json(path: Path) -> Any:  # noqa: ANN401  JSON, checked by its reader
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(str(path), "", f"no JSON ({error})", "a JSON document") from error


def _entries(path: Path) -> dict[str, _Entry]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Entry])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(
            str(path), "", str(error), 'things by name, as {"lamp": {"policies": ["devices"]}}'
        ) from error


def _attached(
    table: Path, name: str, entry: _Entry, policies: dict[str, Policy]
) -> tuple[Policy, ...] | None:
    if entry.policies is None:
        return None
    if len(entry.policies) > MAX_ATTACHED:
        raise ConfigError(
            str(table),
            f"{name}.policies",
            f"{len(entry.policies)} policies",
            f"at most {MAX_ATTACHED}, as AWS",
        )
    for one in entry.policies:
        if one not in policies:
            known = ", ".join(sorted(policies)) or "none: there is no policies/*.json"
            raise ConfigError(str(table), f"{name}.policies", repr(one), f"one of {known}")
    return tuple(policies[one] for one in entry.policies)


def _joined(before: Holder | None, more: tuple[Policy, ...] | None) -> tuple[Policy, ...] | None:
    """The policies of a certificate that belongs to several things: all of them."""
    if before is None or before.policies is None:
        return more
    return before.policies if more is None else before.policies + more


def _certificates(table: Path, folder: Path, name: str, entry: _Entry) -> list[str]:
    """The ids of a thing's certificates."""
    if name == OTHERS:
        return []
    default = ["core.cert.pem" if name == "core" else f"things/{name}.cert.pem"]
    found = []
    for one in default if entry.certificates is None else entry.certificates:
        if _ID.fullmatch(one):
            found.append(one)
            continue
        path = folder / one
        if not path.exists():
            raise ConfigError(
                str(table), f"{name}.certificates", repr(one), f"a file of {folder} or a certificate id"
            )
        found.append(certificate_id(ssl.PEM_cert_to_DER_cert(path.read_text("ascii"))))
    return found

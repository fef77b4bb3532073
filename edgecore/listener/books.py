"""The two books of who may come in, by certificate and by password, joined: a revocation ends both."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from edgecore.base.clock import Clock
from edgecore.listener import passwords as by_password
from edgecore.listener import registry as by_certificate
from edgecore.listener.passwords import Passwords
from edgecore.listener.registry import Issuer, Registry


@dataclass(frozen=True, slots=True)
class Books:
    """Who may come in."""

    registry: Registry
    passwords: Passwords


def open_books(
    certificates: by_certificate.DurableDictionary,
    passwords: by_password.DurableDictionary,
    issuer: Issuer,
    clock: Clock,
) -> Books:
    """Read both dictionaries.

    A password makes its device known to the registry, so that it can be listed and revoked. A revocation
    first lets nobody in by the password, then closes sessions, then is made durable.
    """
    registry = Registry(certificates, issuer, clock)
    book = Passwords(passwords, registry.enrol, clock, secrets.token_bytes)
    registry.end_too(book)
    return Books(registry, book)

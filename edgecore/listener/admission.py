"""Certificate -> Principal: the only place where a device's principal is made.

A device may connect when its certificate is in the registry, or it has proved itself by a password, and its
name is in the active group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgecore.base import identity
from edgecore.base.errors import NotAuthorizedError
from edgecore.base.group import DeviceSpec
from edgecore.base.identity import Principal


class CertificateBook(Protocol):
    """What the listener asks of the registry."""

    def lookup(self, fingerprint: str) -> str | None:
        """The device that holds the certificate, or None when it is unknown or revoked."""
        ...


class Admission:
    """Decides who a certificate belongs to and whether that device may be connected now."""

    def __init__(self, book: CertificateBook, admits: Callable[[str], DeviceSpec | None]) -> None:
        self._book = book
        self._admits = admits

    def principal(self, fingerprint: str) -> Principal:
        """The principal behind a certificate. Raises NotAuthorizedError with the reason and the cure."""
        name = self._book.lookup(fingerprint)
        if name is None:
            raise NotAuthorizedError(
                f"certificate {fingerprint[:16]}... is not in the registry or was revoked: "
                "`edgecore device add NAME` issues one"
            )
        return self.device(name)

    def device(self, name: str) -> Principal:
        """The principal of a device that has proved who it is. Raises NotAuthorizedError as `principal`."""
        spec = self._admits(name)
        if spec is None:
            raise NotAuthorizedError(
                f"device {name} is not in the active group: add [devices.{name}] and deploy"
            )
        return identity.device(name, spec.thing)

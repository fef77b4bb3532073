"""What a peer proves itself with on one connection, and whose it is. The session asks; it knows no kinds.

A credential answers through a callback, because some (a password) take longer than a packet may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgecore.base.errors import NotAuthorizedError
from edgecore.base.identity import Principal
from edgecore.listener.admission import Admission
from edgecore.mqtt.packets import Connect
from edgecore.mqtt.reason_codes import ReasonCode

Answer = Callable[[Principal | NotAuthorizedError], None]


class NotIdentifiedError(NotAuthorizedError):
    """A credential is nobody's. `reason_code`: what CONNACK is to say."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        self.reason_code = reason_code
        super().__init__(text)


def reason_of(error: NotAuthorizedError) -> ReasonCode:
    """What CONNACK says of a client that was not let in."""
    return error.reason_code if isinstance(error, NotIdentifiedError) else ReasonCode.NOT_AUTHORIZED


class Credential(Protocol):
    """How the peer of one connection is known."""

    @property
    def label(self) -> str:
        """What the log calls a peer that is not (yet) a principal."""
        ...

    def identify(self, connect: Connect, answer: Answer) -> None:
        """Call `answer` once with whose it is, or why nobody's: at once, or later on the loop."""
        ...

    def admits(self, principal: Principal) -> bool:
        """Whether it still is the credential of `principal`, who may still be connected."""
        ...


class CertificateCredential:
    """A client certificate that TLS has verified, known by its fingerprint."""

    __slots__ = ("_admission", "_fingerprint")

    def __init__(self, admission: Admission, fingerprint: str) -> None:
        self._admission = admission
        self._fingerprint = fingerprint

    @property
    def label(self) -> str:
        """The beginning of the fingerprint."""
        return self._fingerprint[:16]

    def identify(self, connect: Connect, answer: Answer) -> None:  # noqa: ARG002  who one is does not depend on what one says
        """Answer at once: a user name and password beside a certificate say nothing."""
        try:
            answer(self._admission.principal(self._fingerprint))
        except NotAuthorizedError as error:
            answer(error)

    def admits(self, principal: Principal) -> bool:
        """Ask the registry and the active group again."""
        try:
            return self._admission.principal(self._fingerprint) == principal
        except NotAuthorizedError:
            return False

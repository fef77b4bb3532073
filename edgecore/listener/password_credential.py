"""A user name and a password, for a device that cannot hold a certificate. The user name is the device's."""

from __future__ import annotations

from typing import Final

from edgecore.base.errors import NotAuthorizedError
from edgecore.base.identity import Principal
from edgecore.listener.admission import Admission
from edgecore.listener.credential import Answer, NotIdentifiedError
from edgecore.listener.passwords import PasswordRecord
from edgecore.listener.verifier import Verifier
from edgecore.mqtt.packets import Connect

# Of a user name in the log, which may be a secret that was put in the wrong field and is 64 KB at most.
_SHOWN: Final = 32


class PasswordCredential:
    """What one client says in CONNECT, checked by the verifier. `address`: where it comes from."""

    __slots__ = ("_address", "_admission", "_name", "_record", "_verifier")

    def __init__(self, admission: Admission, verifier: Verifier, address: str) -> None:
        self._admission = admission
        self._verifier = verifier
        self._address = address
        self._name = ""
        self._record: PasswordRecord | None = None

    @property
    def label(self) -> str:
        """The user name that was given."""
        return f"user {self._name[:_SHOWN]!r}" if self._name else "no user name"

    def identify(self, connect: Connect, answer: Answer) -> None:
        """Answer when the password was checked: at once, or later on the loop."""
        self._name = connect.username or ""

        def verdict(found: PasswordRecord | NotIdentifiedError) -> None:
            answer(found if isinstance(found, NotIdentifiedError) else self._proved(found))

        self._verifier.verify(self._name, connect.password or b"", self._address, verdict)

    def admits(self, principal: Principal) -> bool:
        """Whether the password is still the device's, and the device in the active group."""
        if self._record is None or not self._verifier.holds(self._name, self._record):
            return False
        try:
            return self._admission.device(self._name) == principal
        except NotAuthorizedError:
            return False

    def _proved(self, record: PasswordRecord) -> Principal | NotAuthorizedError:
        self._record = record
        try:
            return self._admission.device(self._name)
        except NotAuthorizedError as error:
            return error

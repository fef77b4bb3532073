"""Certificates that are trusted by themselves: those that were registered and not issued here.

Each is a trust anchor of its own; nothing else that its issuer has signed comes in by it. They are loaded
into every TLS context of the server, and into those in use as soon as they are registered.
"""

from __future__ import annotations

import logging
import ssl
import weakref
from typing import Final

_log = logging.getLogger(__name__)

# Measured: 4.5 KB and 0.2 ms each, in every context that is made, and a context lives as long as any
# connection that it was made for. This many are 1.2 MB and 50 ms. Devices beyond it get our own certificates.
MAX_ANCHORS: Final = 256


class Anchors:
    """The anchors, by fingerprint, and the contexts that must know of them."""

    def __init__(self) -> None:
        self._certificates: dict[str, bytes] = {}
        # Weakly: a context that no listener and no connection uses any more need not be told.
        self._contexts: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._certificates)

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._certificates

    def add(self, fingerprint: str, certificate: bytes) -> None:
        """Trust `certificate` (DER) from the next handshake on. Contexts in use take it as they are.

        A new context for each would hold all the others once more for as long as a connection lives.
        """
        self._certificates[fingerprint] = certificate
        for context in list(self._contexts):
            _load(context, fingerprint, certificate)

    def discard(self, fingerprint: str) -> bool:
        """Forget one; whether it was there. Contexts hold it until they are made anew."""
        return self._certificates.pop(fingerprint, None) is not None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let `context` trust all of them, and those to come."""
        for fingerprint, certificate in self._certificates.items():
            _load(context, fingerprint, certificate)
        self._contexts.add(context)


def _load(context: ssl.SSLContext, fingerprint: str, certificate: bytes) -> None:
    """One that was damaged on the disk must keep nobody else out: it is left out and said so."""
    try:
        context.load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        _log.error(
            "registered certificate cannot be loaded, register it again fingerprint=%s reason=%r",
            fingerprint,
            str(error),
        )

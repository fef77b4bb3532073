"""Looks into why the cloud is not reached, where the client says too little: by name, port and certificate.

It makes a connection of its own, without this core's certificate and without a word of MQTT, and closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause, Trouble

Resolve = Callable[[str, int], Awaitable[object]]

# AWS: MQTT with a client certificate on the port of HTTPS (facts: aws-iot-core.md 2.6).
ALPN_PORT: Final = 443
ALPN: Final = "x-amzn-mqtt-ca"
_UNREACHABLE: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN))
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID.
_NOT_YET_VALID: Final = 9


async def resolve(host: str, port: int) -> object:
    """Ask the machine's resolver. Raises OSError."""
    return await asyncio.get_running_loop().getaddrinfo(host, port)


async def diagnose(settings: UplinkSettings, now: float, resolve: Resolve = resolve) -> Trouble | None:
    """What keeps the core from its cloud, or None when nothing does up to TLS. `now`: wall time."""
    host, port = settings.endpoint, settings.port
    try:
        await resolve(host, port)
    except OSError as error:
        return Trouble(Cause.DNS, f"{host} has no address ({error.strerror or error})")
    try:
        await _shake_hands(settings)
    except ssl.SSLCertVerificationError as error:
        return await _judge_certificate(settings, now, error)
    except OSError as error:
        return judge_error(f"{host}:{port}", error)
    return None


async def _shake_hands(settings: UplinkSettings) -> None:
    """Connect as far as TLS goes. Raises OSError, TimeoutError among them."""
    host, port = settings.endpoint, settings.port
    async with asyncio.timeout(settings.connect_timeout):
        trusting = await asyncio.to_thread(_context, settings)
        _, writer = await asyncio.open_connection(host, port, ssl=trusting, server_hostname=host)
        await _close(writer)


def judge_error(where: str, error: OSError) -> Trouble:
    """What a failed connection to `where` says."""
    if isinstance(error, ssl.SSLError):
        return Trouble(Cause.CAPTIVE_PORTAL, f"{where} answers, but not with TLS ({error.reason})")
    if isinstance(error, TimeoutError):
        return Trouble(Cause.NO_ANSWER, f"{where} does not answer")
    if isinstance(error, ConnectionRefusedError):
        return Trouble(Cause.REFUSED, f"{where} refuses connections")
    cause = Cause.UNREACHABLE if error.errno in _UNREACHABLE else Cause.CLOSED
    return Trouble(cause, f"{where}: {error.strerror or error}")


async def _judge_certificate(
    settings: UplinkSettings, now: float, error: ssl.SSLCertVerificationError
) -> Trouble:
    said = f"the certificate of {settings.endpoint}:{settings.port} is not good: {error.verify_message}"
    if error.verify_code == _NOT_YET_VALID:
        today = dt.datetime.fromtimestamp(now, dt.UTC)
        return Trouble(Cause.CLOCK, f"{said} (the clock says {today:%Y-%m-%d %H:%M} UTC)")
    names = await _names(settings)
    if names is None or settings.endpoint in names:
        return Trouble(Cause.UNTRUSTED, said)
    return Trouble(Cause.CAPTIVE_PORTAL, f"{said}; it is that of {', '.join(sorted(names)) or 'nobody'}")


async def _names(settings: UplinkSettings) -> frozenset[str] | None:
    """Whom the certificate that is shown there names, None when it cannot be had."""
    seeing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    seeing.check_hostname = False
    seeing.verify_mode = ssl.CERT_NONE  # only to see who answers: nothing is sent
    try:
        der = await _certificate(settings, seeing, binary_form=True)
        # The ssl module reads only a certificate that it trusts: so this one is trusted, by itself.
        reading = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        reading.check_hostname = False
        reading.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        reading.load_verify_locations(cadata=der)
        read = await _certificate(settings, reading, binary_form=False)
    except OSError:
        return None
    return frozenset(name for _, name in read.get("subjectAltName", ()))


async def _certificate(settings: UplinkSettings, context: ssl.SSLContext, *, binary_form: bool) -> Any:  # noqa: ANN401  ssl's own forms
    async with asyncio.timeout(settings.connect_timeout):
        _, writer = await asyncio.open_connection(settings.endpoint, settings.port, ssl=context)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=binary_form)
        await _close(writer)
        return found


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _context(settings: UplinkSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.port == ALPN_PORT:
        context.set_alpn_protocols([ALPN])
    return context

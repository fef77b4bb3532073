"""What is answered to questions about devices: the same over the socket and, while no core runs, to the CLI.

Knows the registry only by base's Devices, and nothing of HTTP (device_routes.py).
"""

from __future__ import annotations

import msgspec

from edgecore.api.replies import (
    AddRequest,
    CertificateRequest,
    FinishRequest,
    RevokeRequest,
    certificate_reply,
    device_reply,
    rotation_reply,
)
from edgecore.base.interfaces import Devices

Answer = dict[str, object]


class DeviceAnswers:
    """Each question with its answer, JSON-able. `body`: the fields of the record in replies.py that it names.

    Raises as base Devices, and MsgspecError for a body that is not what is expected.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def all(self) -> Answer:
        """All devices, and the change of the authority that is under way."""
        rotation = self._devices.rotation()
        records = [device_reply(each) for each in self._devices.records()]
        return {"devices": records, "rotation": rotation_reply(rotation) if rotation is not None else None}

    async def one(self, name: str) -> Answer:
        """A device with its certificates."""
        return device_reply(self._devices.record(name))

    async def add(self, body: Answer) -> Answer:
        """AddRequest: a certificate for a device, which need not be known."""
        asked = msgspec.convert(body, AddRequest)
        csr, certificate = asked.csr.encode(), asked.certificate.encode()
        issued = await self._devices.add(asked.name, csr, certificate=certificate, days=asked.days)
        return certificate_reply(issued)

    async def renew(self, name: str, body: Answer) -> Answer:
        """CertificateRequest: one more certificate for a device."""
        asked = msgspec.convert(body, CertificateRequest)
        csr, certificate = asked.csr.encode(), asked.certificate.encode()
        issued = await self._devices.renew(name, csr, certificate=certificate, days=asked.days)
        return certificate_reply(issued)

    async def revoke(self, name: str, body: Answer) -> Answer:
        """RevokeRequest: the device as it is when its certificates, or one of them, are revoked."""
        asked = msgspec.convert(body, RevokeRequest)
        return device_reply(await self._devices.revoke(name, asked.certificate))

    async def rotate(self) -> Answer:
        """Who must be renewed, now that the authority is being changed."""
        return rotation_reply(await self._devices.rotate())

    async def finish_rotation(self, body: Answer) -> Answer:
        """FinishRequest: who was left behind, now that the old authority has ended."""
        asked = msgspec.convert(body, FinishRequest)
        return rotation_reply(await self._devices.finish_rotation(force=asked.force))

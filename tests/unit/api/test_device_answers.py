import json

import msgspec
import pytest

from edgecore.api.device_answers import DeviceAnswers
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, IssuedCertificate, Rotation

RECORD = DeviceRecord("gate", 5.0, (DeviceCertificate("ab12", 5.0),))


class FakeDevices:
    def __init__(self):
        self.asked = []
        self.under_way = None

    async def add(self, name, csr=b"", *, certificate=b"", days=0):
        self.asked.append(("add", name, csr, certificate, days))
        return IssuedCertificate(name, b"CERT", b"KEY", b"CA", "ab")

    async def renew(self, name, csr=b"", *, certificate=b"", days=0):
        self.asked.append(("renew", name, csr, certificate, days))
        return IssuedCertificate(name, b"CERT", b"KEY", b"CA", "cd")

    async def revoke(self, name, certificate=None):
        self.asked.append(("revoke", name, certificate))
        return RECORD

    def record(self, name):
        return RECORD

    def records(self):
        return (RECORD,)

    def rotation(self):
        return self.under_way

    async def rotate(self):
        return Rotation("id", ("gate",))

    async def finish_rotation(self, *, force=False):
        self.asked.append(("finish", force))
        return Rotation("id", ("gate",))


@pytest.fixture
def devices():
    return FakeDevices()


@pytest.fixture
def answers(devices):
    return DeviceAnswers(devices)


async def test_all_and_one(answers, devices):
    assert await answers.one("gate") == (await answers.all())["devices"][0]
    assert (await answers.all())["rotation"] is None
    devices.under_way = Rotation("id", ())
    assert (await answers.all())["rotation"] == {"authority": "id", "waiting": []}


async def test_what_is_asked_for_reaches_the_registry(answers, devices):
    assert (await answers.add({"name": "gate"}))["fingerprint"] == "ab"
    await answers.add({"name": "gate", "csr": "PEM", "days": 30})
    assert (await answers.renew("gate", {"certificate": "PEM"}))["fingerprint"] == "cd"
    assert (await answers.revoke("gate", {}))["name"] == "gate"
    await answers.revoke("gate", {"certificate": "ab12"})
    await answers.revoke("gate", {"certificate": ""})
    assert (await answers.rotate())["waiting"] == ["gate"]
    assert (await answers.finish_rotation({"force": True}))["waiting"] == ["gate"]
    assert devices.asked == [
        ("add", "gate", b"", b"", 0),
        ("add", "gate", b"PEM", b"", 30),
        ("renew", "gate", b"", b"PEM", 0),
        ("revoke", "gate", None),
        ("revoke", "gate", "ab12"),
        ("revoke", "gate", ""),  # none at all, for the registry to refuse: not "all of them"
        ("finish", True),
    ]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add", ({},)),
        ("add", ({"name": "a", "day": 3},)),
        ("add", ({"name": "a", "days": "3"},)),
        ("renew", ("a", {"name": "b"})),
        ("revoke", ("a", {"certificate": 3})),
        ("finish_rotation", ({"force": "yes"},)),
    ],
)
async def test_a_body_that_is_not_what_is_expected(answers, devices, method, arguments):
    with pytest.raises(msgspec.ValidationError):
        await getattr(answers, method)(*arguments)
    assert devices.asked == []


async def test_every_answer_is_json(answers):
    for answer in (await answers.all(), await answers.add({"name": "a"}), await answers.rotate()):
        assert json.loads(json.dumps(answer)) == answer

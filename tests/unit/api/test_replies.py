import json

import pytest

from edgecore.api.replies import (
    certificate_reply,
    device_reply,
    error_reply,
    http_error_reply,
    rotation_reply,
)
from edgecore.base import errors
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, IssuedCertificate, Rotation


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotAuthorizedError("no"), 403),
        (errors.CertificateError("no"), 400),
        (errors.TopicError("no"), 400),
        (errors.RefusedError("no"), 503),
        (errors.StoreError("no"), 507),
        (errors.UnavailableError("no"), 501),
        (errors.FunctionError("no"), 500),
    ],
)
def test_the_kind_of_error_decides_the_status(error, status):
    assert error_reply(error)[0] == status
    assert error_reply(error)[1]["error"] == "no"


def test_a_config_error_brings_its_own_hint():
    error = errors.ConfigError("group.toml", "routes.0.form", "unknown key", "from", "Did you mean from?")
    assert error_reply(error)[1]["hint"] == "Did you mean from?"


def test_a_status_without_advice_has_an_empty_hint():
    assert http_error_reply(418, "teapot") == {"error": "teapot", "hint": ""}


def test_a_device_is_put_with_all_that_is_known_of_its_certificates():
    registered = DeviceCertificate("cd", 6.0, "registered", "id", "1f", 2.0, 9.0, None, "PEM")
    record = DeviceRecord("gate", 5.0, (DeviceCertificate("ab", 5.0, revoked_at=7.0), registered))
    reply = device_reply(record)
    assert (reply["name"], reply["fingerprints"], reply["revoked"], reply["added_at"]) == (
        "gate",
        ["cd"],
        ["ab"],
        5.0,
    )
    first, second = reply["certificates"]
    assert (first["fingerprint"], first["revoked_at"], first["issuer"], first["serial"]) == (
        "ab",
        7.0,
        "own",
        "",
    )
    assert second == {
        "fingerprint": "cd",
        "added_at": 6.0,
        "issuer": "registered",
        "authority": "id",
        "serial": "1f",
        "not_before": 2.0,
        "not_after": 9.0,
        "revoked_at": None,
    }
    assert json.loads(json.dumps(reply)) == reply


def test_what_is_handed_out_is_put_as_text():
    issued = IssuedCertificate("gate", b"CERT", b"", b"CA", "ab")
    assert certificate_reply(issued) == {
        "name": "gate",
        "fingerprint": "ab",
        "certificate": "CERT",
        "key": "",
        "ca": "CA",
    }


def test_a_change_of_the_authority_names_who_waits():
    assert rotation_reply(Rotation("id", ("a", "b"))) == {"authority": "id", "waiting": ["a", "b"]}

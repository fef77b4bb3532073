import pytest

from edgecore.api.replies import device_reply
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord
from edgecore.cli.device_words import print_device, print_list, progress

ADDED = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
DAY = 86_400.0


def shown(capsys, *certificates, now=ADDED):
    print_device(device_reply(DeviceRecord("gate", ADDED, certificates)), now)
    return capsys.readouterr().out.splitlines()


def test_a_device_with_its_certificates(capsys):
    own = DeviceCertificate("ab" * 32, ADDED, authority="0123456789abcdef", serial="1f")
    others = DeviceCertificate(
        "cd" * 32, ADDED, "registered", "x", "2e", ADDED - DAY, ADDED + DAY, ADDED + 60.0
    )
    assert shown(capsys, own, others) == [
        "device gate, added 2023-11-14 22:13 UTC",
        "",
        "certificate " + "ab" * 32,
        "  serial   1f",
        "  issuer   this core's authority 0123456789ab",
        "  valid    1970-01-01 to no end",
        "  added    2023-11-14 22:13 UTC",
        "  state    good",
        "",
        "certificate " + "cd" * 32,
        "  serial   2e",
        "  issuer   another's: registered, trusted by itself",
        "  valid    2023-11-13 to 2023-11-15",
        "  added    2023-11-14 22:13 UTC",
        "  state    revoked 2023-11-14 22:14 UTC",
    ]


@pytest.mark.parametrize(
    ("more", "now", "state"),
    [
        ({}, ADDED + 99_999 * DAY, "good"),
        ({"not_after": ADDED}, ADDED, "good"),
        ({"not_after": ADDED}, ADDED + 1.0, "expired"),
        ({"not_after": ADDED, "revoked_at": ADDED}, ADDED + 1.0, "revoked 2023-11-14 22:13 UTC"),
        ({"revoked_at": 0.0}, ADDED, "revoked"),
    ],
)
def test_the_state_of_a_certificate(capsys, more, now, state):
    assert shown(capsys, DeviceCertificate("ab", ADDED, **more), now=now)[-1] == f"  state    {state}"


def test_what_an_older_registry_did_not_note(capsys):
    lines = shown(capsys, DeviceCertificate("ab", ADDED))
    assert "  serial   not noted by the older edgecore that issued it" in lines
    assert "  issuer   this core's authority" in lines


def test_the_list(capsys):
    record = DeviceRecord(
        "gate", ADDED, (DeviceCertificate("ab", ADDED), DeviceCertificate("cd", ADDED, revoked_at=1.0))
    )
    print_list({"devices": [device_reply(record)], "rotation": {"authority": "x", "waiting": ["gate"]}})
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split() == ["gate", "1", "1", "2023-11-14", "22:13", "UTC"]
    assert captured.err == "the authority is being changed: 1 to be renewed first: gate\n"
    print_list({"devices": [], "rotation": None})
    assert "no devices yet" in capsys.readouterr().err


def test_progress_names_a_few():
    assert progress({"waiting": list("abcdefg")}) == "7 to be renewed first: a, b, c, d, e and 2 more"
    assert "rotate-ca --finish" in progress({"waiting": []})

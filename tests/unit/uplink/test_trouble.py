import pytest

from edgecore.uplink.trouble import CURES, Cause, Trouble
from edgecore.uplink.window import Evidence


@pytest.mark.parametrize(
    ("cause", "evidence"),
    [
        (Cause.CLOSED, Evidence.CLOSED),
        (Cause.MESSAGE, Evidence.MESSAGE),
        (Cause.HALF_OPEN, Evidence.NONE),
        (Cause.TAKEN_OVER, Evidence.NONE),
        (Cause.THROTTLED, Evidence.NONE),
    ],
)
def test_what_accuses_a_message(cause, evidence):
    assert Trouble(cause, "x").evidence is evidence


def test_a_reason_says_what_was_heard_and_what_to_do():
    assert Trouble(Cause.DNS, "no such name").reason == f"no such name: {CURES[Cause.DNS]}"
    assert Trouble(Cause.OTHER, "odd").reason == "odd"

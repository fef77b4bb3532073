import pytest

from edgecore.mqtt.reason_codes import ReasonCode, v311_return_code


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0x00, 0), (0x84, 1), (0x85, 2), (0x88, 3), (0x86, 4), (0x87, 5), (0x8A, 5), (0x97, 3)],
)
def test_a_reason_becomes_the_nearest_return_code_of_3_1_1(reason, code):
    assert v311_return_code(reason) == code


def test_failures_start_at_0x80():
    assert ReasonCode.UNSPECIFIED_ERROR == 0x80
    assert ReasonCode(0) is ReasonCode.SUCCESS

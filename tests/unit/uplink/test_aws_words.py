import pytest
from awscrt import exceptions, mqtt5

from edgecore.uplink.aws_words import cause_of_connack, cause_of_disconnect, cause_of_error
from edgecore.uplink.trouble import Cause


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("AWS_IO_DNS_INVALID_NAME", Cause.DNS),
        ("AWS_IO_DNS_QUERY_FAILED", Cause.DNS),
        ("AWS_IO_SOCKET_CONNECTION_REFUSED", Cause.REFUSED),
        ("AWS_IO_SOCKET_NO_ROUTE_TO_HOST", Cause.UNREACHABLE),
        ("AWS_IO_SOCKET_TIMEOUT", Cause.NO_ANSWER),
        ("AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", Cause.TLS),
        ("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT", Cause.HALF_OPEN),
        ("AWS_IO_SOCKET_CLOSED", Cause.CLOSED),
        ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP", Cause.CLOSED),
        ("AWS_ERROR_SOMETHING_NEW", Cause.OTHER),
    ],
)
def test_errors(name, cause):
    assert cause_of_error(name) is cause


def test_the_names_are_the_library_s():
    # The library's errors have numbers from 1024 on, a thousand for each of its parts.
    named = {getattr(exceptions.from_code(code), "name", "") for code in range(1024, 6 * 1024)}
    assert mqtt5  # importing it makes its errors known
    for name in (
        "AWS_IO_DNS_INVALID_NAME",
        "AWS_IO_SOCKET_CONNECTION_REFUSED",
        "AWS_IO_SOCKET_NO_ROUTE_TO_HOST",
        "AWS_IO_SOCKET_TIMEOUT",
        "AWS_IO_SOCKET_CLOSED",
        "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE",
        "AWS_IO_TLS_NEGOTIATION_TIMEOUT",
        "AWS_ERROR_MQTT_UNEXPECTED_HANGUP",
        "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT",
        "AWS_ERROR_MQTT5_CONNACK_TIMEOUT",
        "AWS_ERROR_MQTT5_USER_REQUESTED_STOP",
    ):
        assert name in named


def test_codes():
    assert cause_of_connack(0x87) is Cause.NOT_AUTHORISED
    assert cause_of_connack(0x97) is Cause.THROTTLED
    assert cause_of_connack(0x88) is Cause.OTHER
    assert {cause_of_disconnect(code) for code in (0x87, 0x95, 0x82)} == {Cause.MESSAGE}
    assert cause_of_disconnect(0x8E) is Cause.TAKEN_OVER
    assert cause_of_disconnect(0x8D) is Cause.HALF_OPEN
    assert cause_of_disconnect(0x97) is Cause.THROTTLED
    assert cause_of_disconnect(0x8B) is Cause.OTHER

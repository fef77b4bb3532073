import pytest

from edgecore.api.replies import error_reply, http_error_reply
from edgecore.base import errors


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

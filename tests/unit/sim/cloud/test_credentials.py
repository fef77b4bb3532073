"""The credentials provider, decided."""

import pytest

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.access import Account, Certificate, Holder, Thing
from edgecore.sim.cloud.credentials import REMEMBERED, Provider
from edgecore.sim.cloud.policy import read_policy

CERTIFICATE = Certificate("1" * 64, "core")
ALLOW = {"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate", "Resource": "rolealias/camera"}


def provider(aliases=None, seconds=3600):
    return Provider(aliases, seconds, lambda count: bytes(range(count)))


def issue(made, alias="camera", thing=None, holder=None):
    holder = holder or Holder()
    access = Account({CERTIFICATE.id: holder}).request(CERTIFICATE, "127.0.0.1")
    return made.issue(alias, thing, holder, access, 1_700_000_000.9)


def test_the_shape_and_the_expiry():
    made = provider()
    answer = issue(made)
    assert answer.status == 200
    credentials = answer.document["credentials"]
    assert set(credentials) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert credentials["expiration"] == "2023-11-14T23:13:20Z"
    assert credentials["accessKeyId"].startswith("ASIA")
    assert (len(credentials["accessKeyId"]), len(credentials["secretAccessKey"])) == (20, 40)
    assert made.status() == [{"accessKeyId": credentials["accessKeyId"], "alias": "camera"}]


def test_the_newest_are_remembered_and_what_was_refused_is_not():
    made = provider({f"a{number}": 900 for number in range(REMEMBERED + 1)})
    issue(made, "unknown")
    for number in range(REMEMBERED + 1):
        issue(made, f"a{number}")
    remembered = [given["alias"] for given in made.status()]
    assert (len(remembered), remembered[0], remembered[-1]) == (REMEMBERED, "a1", f"a{REMEMBERED}")


def test_an_alias_has_its_own_duration():
    made = provider({"camera": 900})
    assert issue(made).document["credentials"]["expiration"] == "2023-11-14T22:28:20Z"
    assert issue(made, "Camera").status == 404  # case counts


@pytest.mark.parametrize("alias", ["a b", "", "x" * 129, "a/b"])
def test_what_is_no_alias(alias):
    assert issue(provider(), alias).document["message"] == "Not Found"


@pytest.mark.parametrize(("thing", "status"), [(None, 200), ("core-7", 200), ("other", 403)])
def test_the_thing_must_be_attached_to_the_certificate(thing, status):
    holder = Holder({"core-7": Thing("core-7")})
    assert issue(provider(), thing=thing, holder=holder).status == status


@pytest.mark.parametrize(("alias", "status"), [("camera", 200), ("other", 403)])
def test_the_policy_must_allow_it(alias, status):
    policy = read_policy("p", {"Version": "2012-10-17", "Statement": ALLOW})
    answer = issue(provider(), alias, holder=Holder(None, (policy,)))
    assert answer.status == status
    if status == 403:
        assert answer.document == {"message": "Access Denied", "traceId": bytes(range(16)).hex()}


@pytest.mark.parametrize(("aliases", "seconds"), [(None, 0), (None, 43_201), ({"a": 0}, 3600)])
def test_durations_are_checked(aliases, seconds):
    with pytest.raises(ConfigError, match="43200"):
        provider(aliases, seconds)

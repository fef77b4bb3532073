"""Policies and things in the cloud's folder."""

import datetime as dt
import json
import ssl

import pytest

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.account_files import read_account
from edgecore.sim.cloud.certificates import read_certificate
from edgecore.sim.pki import ThrowawayAuthority

ONLY_CONNECT = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iot:Connect", "Resource": "client/${iot:ClientId}"},
}


@pytest.fixture
def folder(tmp_path):
    authority = ThrowawayAuthority.load_or_create(tmp_path, dt.datetime.now(dt.UTC))
    authority.client("core", "core", dt.datetime.now(dt.UTC))
    for name in ("lamp", "gate"):
        authority.client(f"things/{name}", name, dt.datetime.now(dt.UTC))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "devices.json").write_text(json.dumps(ONLY_CONNECT))
    return tmp_path


def certificate(folder, stem):
    return read_certificate(ssl.PEM_cert_to_DER_cert((folder / f"{stem}.cert.pem").read_text()))


def things(folder, table):
    (folder / "things.json").write_text(json.dumps(table))
    return read_account(folder)


def may_publish(account, folder, stem):
    return account.connect(certificate(folder, stem), "x", "").allows("iot:Publish", "topic/a")


def test_without_a_table_everybody_may_do_everything(folder):
    assert may_publish(read_account(folder), folder, "things/lamp")


def test_policies_are_attached_to_the_certificate_of_a_thing(folder):
    account = things(folder, {"lamp": {"policies": ["devices"]}, "gate": {}})
    assert not may_publish(account, folder, "things/lamp")
    assert may_publish(account, folder, "things/gate")
    assert may_publish(account, folder, "core")


def test_the_core_and_what_belongs_to_no_thing(folder):
    account = things(folder, {"core": {"policies": []}, "*": {"policies": ["devices"]}})
    assert not may_publish(account, folder, "core")
    assert not may_publish(account, folder, "things/lamp")
    assert account.connect(certificate(folder, "things/lamp"), "lamp", "").allows(
        "iot:Connect", "client/lamp"
    )


def test_things_attributes_and_types(folder):
    account = things(folder, {"lamp": {"type": "Lamp", "attributes": {"lane": "north"}}})
    thing = account.holder(certificate(folder, "things/lamp")).thing("lamp")
    assert (thing.kind, thing.attributes) == ("Lamp", {"lane": "north"})
    assert account.holder(certificate(folder, "things/lamp")).thing("gate") is None
    assert account.holder(certificate(folder, "core")).thing("core") is None


def test_several_things_and_policies_on_one_certificate_by_file_or_id(folder):
    known = certificate(folder, "core").id
    table = {
        "one": {"certificates": ["core.cert.pem"], "policies": ["devices"]},
        "two": {"certificates": [known], "policies": ["devices"]},
        "three": {"certificates": ["core.cert.pem"]},
    }
    holder = things(folder, table).holder(certificate(folder, "core"))
    assert set(holder.things) == {"one", "two", "three"}
    assert len(holder.policies) == 2


def test_an_inactive_certificate(folder):
    assert not may_publish(things(folder, {"lamp": {"active": False}}), folder, "things/lamp")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"lamp": {"policies": ["none"]}}, "one of devices"),
        ({"lamp": {"policies": ["devices"] * 11}}, "at most 10"),
        ({"lamp": {"certificates": ["nowhere.pem"]}}, "a file of"),
        ({"lamp": {"policy": "devices"}}, "unknown field"),
        (["lamp"], "things by name"),
    ],
)
def test_mistakes_are_told(folder, table, text):
    with pytest.raises(ConfigError, match=text):
        things(folder, table)


def test_a_policy_that_is_no_json(folder):
    (folder / "policies" / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match=r"bad\.json.*no JSON"):
        read_account(folder)

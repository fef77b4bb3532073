"""`[cloud]`: what it may hold for which broker. Whole files are in test_load.py."""

from pathlib import Path

import pytest

from edgecore.base.errors import ConfigError
from edgecore.config.cloud import Cloud, read_cloud
from edgecore.config.paths import Paths
from edgecore.deployments.reading import Faults, parse

PATHS = Paths.under(Path("/d"))
AWS = 'endpoint = "h"\ncertificate = "c.pem"\nkey = "k.pem"\n'


def read(text):
    faults = Faults("edgecore.toml")
    top = parse(f"[cloud]\n{text}", faults)
    cloud = read_cloud(top.table("cloud"), PATHS)
    faults.raise_any()
    return cloud


def test_without_a_table_there_is_no_cloud():
    assert read_cloud(None, PATHS) is None


def test_aws():
    assert read(AWS) == Cloud("h", 8883, Path("/d/c.pem"), Path("/d/k.pem"))


def test_a_key_in_a_token_is_in_no_file():
    cloud = read('endpoint = "h"\ncertificate = "c.pem"\npkcs11_library = "/l.so"\npkcs11_pin = "pin"')
    assert (cloud.key, cloud.pkcs11_library, cloud.pkcs11_pin) == (None, Path("/l.so"), Path("/d/pin"))


def test_credentials_want_a_key_in_a_file():
    role = 'role_alias = "r"\ncredentials_endpoint = "h"\n'
    assert read(AWS + role).role_alias == "r"
    with pytest.raises(ConfigError, match=r"cloud\.key: found nothing"):
        read(f'endpoint = "h"\ncertificate = "c.pem"\npkcs11_library = "/l.so"\n{role}')


def test_another_broker_may_go_by_a_password_alone():
    cloud = read('broker = "mqtt"\nendpoint = "h"\nusername = "u"\npassword_file = "secret"')
    assert (cloud.certificate, cloud.key, cloud.password_file) == (None, None, Path("/d/secret"))

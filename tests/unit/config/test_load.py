from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from edgecore.base.backoff import Backoff
from edgecore.base.errors import ConfigError
from edgecore.config import (
    Cloud,
    Config,
    Paths,
    load_config,
    parse_config,
    parse_endpoint,
    reference_text,
    write_initial,
)
from edgecore.config.load import reference
from edgecore.uplink.settings import UplinkSettings

PATHS = Paths.under(Path("/d"))
CLOUD = '[cloud]\nendpoint = "h"\ncertificate = "c.pem"\nkey = "/k.pem"\n'
# What a Backoff has beside its bounds is the room's business.
INNER = {Backoff: {"initial", "maximum"}}


def parsed(text):
    return parse_config(f'thing = "core-7"\n{text}', PATHS)


# The reference


def test_the_reference_says_the_code_s_defaults():
    assert parse_config(reference_text(), PATHS) == Config("core-1", PATHS)


def test_the_reference_names_every_setting():
    config = Config("core-1", PATHS)
    records = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name in ("thing", "paths", "uplink"):
        del records[name]
    assert set(reference()) == {"thing", "uplink", *records}
    for name, record in records.items():
        assert set(reference()[name]) == {field.name for field in dataclasses.fields(record)}, name
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if dataclasses.is_dataclass(value):
                assert set(reference()[name][field.name]) == INNER[type(value)], f"{name}.{field.name}"


def test_the_reference_names_every_setting_of_the_uplink():
    cloud = {field.name for field in dataclasses.fields(Cloud)}
    fields = {field.name for field in dataclasses.fields(UplinkSettings)}
    assert set(reference()["uplink"]) == fields - cloud - {"client_id"}
    commented = reference_text().split("# [cloud]\n")[1].split("\n\n")[0]
    assert {line.removeprefix("# ").split(" =")[0] for line in commented.splitlines()} == cloud
    lines = [line.removeprefix("# ") for line in commented.splitlines()]
    default = UplinkSettings("x", Path(), Path(), "core-7")
    for broker, others in {"aws": ("username", "password"), "mqtt": ("pkcs11",)}.items():
        text = "\n".join(line for line in lines if not line.startswith(others))
        uplink = parsed("[cloud]\n" + text.replace('broker = "aws"', f'broker = "{broker}"')).uplink
        assert uplink.broker == broker
        for field in fields - cloud - {"client_id"}:
            assert getattr(uplink, field) == getattr(default, field), field
        assert (uplink.port, uplink.ca) == (default.port, Path("/d/pki/cloud.ca.pem"))


def test_every_key_of_the_reference_is_explained_or_plain():
    """No line is longer than a screen, and no key stands there twice."""
    assert all(len(line) <= 120 for line in reference_text().splitlines())


# Loading


def test_a_small_file():
    config = parsed('[listener]\nport = 0\n[log]\nlevel = "debug"\n[functions]\nmax_event_age = "1d"')
    assert (config.thing, config.listener.port, config.log.level) == ("core-7", 0, "debug")
    assert config.functions.max_event_age == 86400.0
    assert config.uplink is None


def test_figures_can_be_switched_off():
    assert parsed('[listener]\nsys_interval = "0s"').listener.sys_interval == 0
    assert parsed('[listener]\nsys_interval = "2s"').listener.sys_interval == 2


def test_the_cloud():
    uplink = parsed(CLOUD + '[uplink]\noutbox_bytes = "1GB"').uplink
    assert (uplink.endpoint, uplink.port, uplink.client_id) == ("h", 8883, "core-7")
    assert (uplink.certificate, uplink.key, uplink.ca) == (Path("/d/c.pem"), Path("/k.pem"), None)
    assert uplink.outbox_bytes == 10**9


def test_another_broker():
    text = '[cloud]\nbroker = "mqtt"\nendpoint = "h"\nusername = "u"\npassword_file = "secret"'
    uplink = parsed(text).uplink
    assert (uplink.broker, uplink.username, uplink.password_file) == ("mqtt", "u", Path("/d/secret"))
    assert (uplink.certificate, uplink.key) == (None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[listner]", "listner: found a key that is not known"),
        ("[listner]", "Did you mean 'listener'?"),
        ("[listener]\nprt = 3", "listener.prt: found a key that is not known"),
        ("[listener]\nport = 70000", "listener.port: found 70000"),
        ('[listener]\nmax_packet_size = "10B"', "/d/edgecore.toml: listener.max_packet_size: found 10"),
        (
            "[log]\nlevel = 'verbose'",
            "log.level: found 'verbose', expected one of debug, info, warning, error",
        ),
        ("[uplink]\nin_flight = 0", "uplink.in_flight: found 0"),
        (CLOUD.replace("endpoint", "endpont"), "Did you mean 'endpoint'?"),
        (CLOUD.replace('"h"', '"https://h"'), "cloud.endpoint: found 'https://h', expected a host name"),
        (CLOUD.replace('key = "/k.pem"', ""), "cloud.key: found nothing, expected the path of its key"),
        (CLOUD + "port = 0", "cloud.port: found 0"),
        (CLOUD + 'broker = "azure"', "cloud.broker: found 'azure', expected \"aws\""),
        (CLOUD + 'broker = "mqtt"\npkcs11_key = "k"', "cloud.pkcs11_key: found 'k', expected none for"),
        (CLOUD + 'username = "u"', "cloud.username: found 'u', expected none: AWS goes by"),
        ('[cloud]\nendpoint = "h"\nbroker = "mqtt"\nkey = "k"', "cloud.certificate: found nothing"),
        (CLOUD + 'role_alias = "r"', "cloud.credentials_endpoint: found nothing"),
        (CLOUD + 'credentials_endpoint = "h"', "cloud.role_alias: found nothing"),
        (CLOUD + 'role_alias = "a b"\ncredentials_endpoint = "h"', "cloud.role_alias: found 'a b'"),
        (
            CLOUD + 'role_alias = "r"\ncredentials_endpoint = "https://h"',
            "found 'https://h', expected a host",
        ),
        ("[cloud]\nclient_id = 'x'", "cloud.client_id: found a key that is not known"),
        ("listener = 3", "listener: found 3, expected a table"),
    ],
)
def test_what_is_wrong(text, says):
    with pytest.raises(ConfigError) as error:
        parsed(text)
    assert says in str(error.value)


def test_the_thing():
    with pytest.raises(ConfigError, match="thing: found nothing"):
        parse_config("", PATHS)
    with pytest.raises(ConfigError, match="thing: found 'a b', expected a thing name"):
        parse_config('thing = "a b"', PATHS)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=rf"edgecore init --dir {tmp_path} --thing NAME"):
        load_config(tmp_path)
    (tmp_path / "edgecore.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)
    (tmp_path / "edgecore.toml").rmdir()
    (tmp_path / "edgecore.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at 0"):
        load_config(tmp_path)
    (tmp_path / "edgecore.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than"):
        load_config(tmp_path)


def test_without_a_folder_it_is_this_machine_s(monkeypatch, tmp_path):
    write_initial(Paths.under(tmp_path), "core-7")
    monkeypatch.setattr(Paths, "system", classmethod(lambda cls: cls.under(tmp_path)))
    assert load_config().thing == "core-7"


# The first file


def test_a_new_core(tmp_path):
    paths = Paths.under(tmp_path / "deep" / "d")
    config = write_initial(paths, "core-7")
    assert load_config(tmp_path / "deep" / "d") == config == Config("core-7", paths)
    assert stat.S_IMODE(paths.state.stat().st_mode) == 0o700
    assert paths.pki.is_dir()
    assert sorted(path.name for path in paths.etc.iterdir()) == ["artifacts", "edgecore.toml", "pki", "state"]


def test_a_new_core_with_a_cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("c.pem", "k.pem", 'a "quoted" ü.pem'):
        (tmp_path / name).write_text("")
    cloud = Cloud("::1", 9000, Path("c.pem"), Path("k.pem"), Path('a "quoted" ü.pem'))
    uplink = write_initial(Paths.under(tmp_path / "d"), "core-7", cloud).uplink
    assert (uplink.endpoint, uplink.port, uplink.certificate) == ("::1", 9000, tmp_path / "c.pem")
    assert uplink.ca == tmp_path / 'a "quoted" ü.pem'
    assert load_config(tmp_path / "d").uplink == uplink


def test_a_core_is_never_overwritten(tmp_path):
    paths = Paths.under(tmp_path)
    write_initial(paths, "core-7")
    before = paths.config.read_text()
    with pytest.raises(ConfigError, match="initialised before"):
        write_initial(paths, "core-8")
    assert paths.config.read_text() == before


def test_a_new_core_is_refused_before_anything_is_made(tmp_path):
    paths = Paths.under(tmp_path / "d")
    with pytest.raises(ConfigError, match="thing: found 'a b'"):
        write_initial(paths, "a b")
    with pytest.raises(ConfigError, match=r"absent\.pem: found no file"):
        write_initial(paths, "core", Cloud("h", 1, tmp_path / "absent.pem", tmp_path / "absent.pem"))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("h", ("h", 8883)),
        ("h.example:443", ("h.example", 443)),
        ("[::1]:9", ("::1", 9)),
        ("127.0.0.1", ("127.0.0.1", 8883)),
    ],
)
def test_endpoints(text, endpoint):
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "h:", "h:0", "h:70000", "https://h", "h:1:2", "a b", "h:x", "h:٣"])
def test_what_is_no_endpoint(text):
    with pytest.raises(ConfigError, match="HOST or HOST:PORT"):
        parse_endpoint(text)

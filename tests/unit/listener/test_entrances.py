import ssl

import pytest

from edgecore.base.errors import CertificateError
from edgecore.listener.admission import Admission
from edgecore.listener.door import Door
from edgecore.listener.entrances import entrances
from edgecore.listener.tls import TlsFiles
from edgecore.listener.websocket import WebSocket


class Channel:
    """A TLS connection on which a certificate was shown, or none."""

    def __init__(self, fingerprint=None):
        self._fingerprint = fingerprint

    def fingerprint(self):
        if self._fingerprint is None:
            raise ssl.SSLError(1, "the client gave no certificate")
        return self._fingerprint


@pytest.fixture
def found(make_house, pki):
    def find(files=None, verifier=None, **settings):
        house = make_house(**settings)
        door = Door(house.settings, house.router, house.sessions, house.refusals, house.turn, house.clock)
        made = entrances(door, Admission(house.book, house.specs.get), files or pki.files, verifier)
        return {each.name: each for each in made}

    return find


def test_what_is_open_follows_the_settings(found):
    opened = found(port=1, websocket_port=2)
    assert {name: (each.port, each.setting) for name, each in opened.items()} == {
        "mqtt": (1, "port"),
        "websocket": (2, "websocket_port"),
    }
    assert list(found(websocket=False)) == ["mqtt"]


def test_each_asks_for_a_certificate(found):
    for each in found().values():
        assert each.context.verify_mode == ssl.CERT_REQUIRED
        with pytest.raises(ssl.SSLError):
            each.open(object(), Channel(), "192.0.2.1")


def test_passwords_are_asked_for_only_where_it_was_wished_and_no_certificate_is(found):
    assert "password" not in found(verifier=object())
    assert "password" not in found(passwords=True)
    opened = found(verifier=object(), passwords=True, password_port=3)
    assert list(opened) == ["mqtt", "websocket", "password"]
    each = opened["password"]
    assert (each.port, each.setting) == (3, "password_port")
    assert each.context.verify_mode == ssl.CERT_NONE
    above, session = each.open(object(), Channel(), "192.0.2.1")
    assert above is session
    assert opened["mqtt"].make_context().verify_mode == ssl.CERT_REQUIRED


def test_what_stands_on_tls(found):
    opened = found()
    above, session = opened["mqtt"].open(object(), Channel("one"), "192.0.2.1")
    assert above is session
    above, session = opened["websocket"].open(object(), Channel("one"), "192.0.2.1")
    assert isinstance(above, WebSocket)
    assert above.session is session


def test_files_that_cannot_be_read_are_named(found, tmp_path):
    with pytest.raises(CertificateError, match=r"server\.pem"):
        found(TlsFiles(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key"))

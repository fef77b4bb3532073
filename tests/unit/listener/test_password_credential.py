import pytest

from edgecore.base import identity
from edgecore.base.errors import NotAuthorizedError
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission
from edgecore.listener.credential import NotIdentifiedError
from edgecore.listener.password_credential import PasswordCredential
from edgecore.listener.passwords import PasswordRecord
from edgecore.mqtt.packets import Connect
from edgecore.mqtt.reason_codes import ReasonCode

RECORD = PasswordRecord("00" * 16, "00" * 32, 0.0)


class Verifier:
    """One that a test answers for."""

    def __init__(self):
        self.asked, self.current = [], RECORD

    def verify(self, name, password, address, verdict):
        self.asked.append((name, password, address))
        self.verdict = verdict

    def holds(self, _name, record):
        return record is self.current


@pytest.fixture
def verifier():
    return Verifier()


@pytest.fixture
def specs():
    return {"one": DeviceSpec("one", "thing-1")}


@pytest.fixture
def credential(verifier, specs, book):
    return PasswordCredential(Admission(book, specs.get), verifier, "192.0.2.1")


def test_a_device_with_the_right_password_gets_its_principal_when_it_was_checked(credential, verifier):
    answers = []
    credential.identify(Connect("any", username="one", password=b"secret"), answers.append)
    assert verifier.asked == [("one", b"secret", "192.0.2.1")]
    assert answers == []
    assert not credential.admits(identity.device("one", "thing-1"))
    verifier.verdict(RECORD)
    assert answers == [identity.device("one", "thing-1")]
    assert credential.admits(identity.device("one", "thing-1"))
    assert not credential.admits(identity.device("two"))


def test_a_password_that_is_not_accepted_is_answered_with_its_reason(credential, verifier):
    answers = []
    credential.identify(Connect("any", username="one", password=b"wrong"), answers.append)
    error = NotIdentifiedError(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "no")
    verifier.verdict(error)
    assert answers == [error]
    assert not credential.admits(identity.device("one", "thing-1"))


def test_a_client_that_says_no_name_and_no_password_asks_with_empty_ones(credential, verifier):
    credential.identify(Connect("one"), [].append)
    assert verifier.asked == [("", b"", "192.0.2.1")]
    assert credential.label == "no user name"


def test_a_device_outside_the_group_is_refused_with_the_cure_once_it_has_proved_itself(
    credential, verifier, specs
):
    answers = []
    specs.clear()
    credential.identify(Connect("any", username="one", password=b"secret"), answers.append)
    verifier.verdict(RECORD)
    assert isinstance(answers[0], NotAuthorizedError)
    assert "devices.one" in str(answers[0])


def test_it_ends_with_the_password_and_with_the_group(credential, verifier, specs):
    credential.identify(Connect("any", username="one", password=b"secret"), [].append)
    verifier.verdict(RECORD)
    verifier.current = None
    assert not credential.admits(identity.device("one", "thing-1"))
    verifier.current = RECORD
    specs.clear()
    assert not credential.admits(identity.device("one", "thing-1"))


def test_the_log_shows_a_user_name_quoted_and_short(credential, verifier):
    credential.identify(Connect("any", username="\n" + "x" * 60_000, password=b"y"), [].append)
    assert credential.label.startswith("user '\\nxxx")
    assert len(credential.label) < 50

from edgecore.base import identity
from edgecore.base.errors import NotAuthorizedError
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential, NotIdentifiedError, reason_of
from edgecore.mqtt.packets import Connect
from edgecore.mqtt.reason_codes import ReasonCode


def test_it_answers_with_the_device_of_the_certificate_whatever_connect_says(book):
    book["f1"] = "one"
    answers = []
    credential = CertificateCredential(Admission(book, {"one": DeviceSpec("one", "thing")}.get), "f1")
    credential.identify(Connect("two", username="two", password=b"x"), answers.append)
    assert answers == [identity.device("one", "thing")]
    assert credential.admits(identity.device("one", "thing"))
    assert not credential.admits(identity.device("two"))


def test_it_answers_with_the_reason_when_nobody_holds_the_certificate(book):
    answers = []
    credential = CertificateCredential(Admission(book, {}.get), "f" * 64)
    credential.identify(Connect("one"), answers.append)
    assert isinstance(answers[0], NotAuthorizedError)
    assert not credential.admits(identity.device("one"))
    assert credential.label == "f" * 16


def test_the_reason_is_the_credential_s_own_where_it_has_one():
    busy = NotIdentifiedError(ReasonCode.SERVER_BUSY, "later")
    assert (reason_of(busy), str(busy)) == (ReasonCode.SERVER_BUSY, "later")
    assert reason_of(NotAuthorizedError("no")) is ReasonCode.NOT_AUTHORIZED

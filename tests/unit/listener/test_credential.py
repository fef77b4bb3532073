from edgecore.base import identity
from edgecore.base.errors import NotAuthorizedError
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.mqtt.packets import Connect


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

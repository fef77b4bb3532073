import pytest

from edgecore.base.errors import NotAuthorizedError
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission


def test_a_known_device_of_the_group_gets_its_principal(book):
    book["f"] = "one"
    principal = Admission(book, {"one": DeviceSpec("one", "thing-1")}.get).principal("f")
    assert (principal.id, principal.thing) == ("device:one", "thing-1")


def test_an_unknown_certificate_is_refused_with_the_cure(book):
    with pytest.raises(NotAuthorizedError, match="device add"):
        Admission(book, {}.get).principal("f")


def test_a_device_outside_the_group_is_refused_with_the_cure(book):
    book["f"] = "one"
    with pytest.raises(NotAuthorizedError, match=r"devices\.one"):
        Admission(book, {}.get).principal("f")


def test_a_device_that_has_proved_itself_must_be_in_the_group(book):
    admission = Admission(book, {"one": DeviceSpec("one", "thing-1")}.get)
    assert admission.device("one").id == "device:one"
    with pytest.raises(NotAuthorizedError, match=r"devices\.two"):
        admission.device("two")


def test_a_renewed_certificate_brings_the_same_principal(book):
    """A session belongs to (principal, client id): it is found again whichever certificate its device shows."""
    book.update(old="one", new="one")
    admission = Admission(book, {"one": DeviceSpec("one", "thing-1")}.get)
    assert admission.principal("old") == admission.principal("new")


def test_a_certificate_that_has_ended_is_refused_with_the_registrys_words():
    class Ended:
        def lookup(self, fingerprint):
            raise NotAuthorizedError("it has expired")

    with pytest.raises(NotAuthorizedError, match="has expired"):
        Admission(Ended(), {}.get).principal("f")

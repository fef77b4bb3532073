"""A client certificate as its policies see it: id and `iot:Certificate...` variables."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgecore.sim.cloud.access import Certificate

# Attributes of a subject or issuer -> the words of the policy variables.
_ATTRIBUTES: Final = {
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.COMMON_NAME: "CommonName",
    NameOID.SERIAL_NUMBER: "SerialNumber",
    NameOID.TITLE: "Title",
    NameOID.SURNAME: "Surname",
    NameOID.GIVEN_NAME: "GivenName",
    NameOID.PSEUDONYM: "Pseudonym",
    NameOID.GENERATION_QUALIFIER: "GenerationQualifier",
}
_ALTERNATIVES: Final[dict[type[x509.GeneralName], str]] = {
    x509.DNSName: "DNSName",
    x509.RFC822Name: "RFC822Name",
    x509.UniformResourceIdentifier: "UniformResourceIdentifier",
    x509.IPAddress: "IPAddress",
}

Variables = dict[str, tuple[str, ...]]


def certificate_id(der: bytes) -> str:
    """AWS's certificateId: SHA-256 of the DER, in hex."""
    return hashlib.sha256(der).hexdigest()


@lru_cache(maxsize=4096)
def read_certificate(der: bytes) -> Certificate:
    """The certificate of a finished TLS handshake."""
    found = x509.load_der_x509_certificate(der)
    variables: Variables = {}
    _add_name(variables, "iot:Certificate.Subject", found.subject)
    _add_name(variables, "iot:Certificate.Issuer", found.issuer)
    _add_alternatives(variables, found)
    variables["iot:certificate.serialnumber"] = (str(found.serial_number),)
    names = tuple(sorted(variables))
    variables["iot:certificate.availablekeys"] = names
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(certificate_id(der), str(common[0].value) if common else "", variables)


def _add_name(variables: Variables, prefix: str, name: x509.Name) -> None:
    for oid, word in _ATTRIBUTES.items():
        values = [str(one.value) for one in name.get_attributes_for_oid(oid)]
        _add(variables, f"{prefix}.{word}", values)


def _add_alternatives(variables: Variables, certificate: x509.Certificate) -> None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for kind, word in _ALTERNATIVES.items():
        found = [str(one.value) for one in names if isinstance(one, kind)]
        _add(variables, f"iot:Certificate.Subject.AlternativeName.{word}", found)


def _add(variables: Variables, name: str, values: list[str]) -> None:
    """The first value under the plain name, the others by index from 1, all of them as a list."""
    if not values:
        return
    name = name.lower()
    variables[name] = (values[0],)
    variables[f"{name}.list"] = tuple(values)
    for index, value in enumerate(values):
        variables[f"{name}.{index}"] = (value,)

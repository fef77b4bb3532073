from __future__ import annotations

from edgecore.listener.addresses import local_names
from edgecore.listener.pki import CertificateAuthority

FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.0
           /24 link UNICAST
        |-- 192.168.1.7
           /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
        |-- 169.254.3.4
           /32 host LOCAL
"""
INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000007 02 40 00 80     eth0
fe800000000000000000000000000001 02 40 20 80     eth0
"""


def test_names_and_addresses_of_the_machine(tmp_path):
    (tmp_path / "fib_trie").write_text(FIB)
    (tmp_path / "if_inet6").write_text(INET6)
    assert local_names(tmp_path, "Pi.home.arpa") == (
        "192.168.1.7",
        "::1",
        "fd00::7",
        "pi.home.arpa",
        "pi.local",
    )


def test_without_a_network(tmp_path):
    assert local_names(tmp_path, "pi") == ("pi", "pi.local")


def test_a_host_name_that_cannot_stand_in_a_certificate_is_left_out(tmp_path):
    assert local_names(tmp_path, "pi_küche") == ()


def test_this_machine_s_names_can_be_signed(tmp_path):
    authority = CertificateAuthority.load_or_create(tmp_path)
    certificate, _ = authority.ensure_server_certificate(local_names())
    assert certificate.is_file()

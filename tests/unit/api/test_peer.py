import os
import pwd
import socket

import pytest

from edgecore.api.peer import local_operator, peer_uid
from edgecore.base.errors import NotAuthorizedError

NOBODY = 54321  # no entry in the user database


def test_the_kernel_says_who_connected():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()


def test_root_and_the_cores_own_user_are_operators():
    assert local_operator(0, NOBODY).id == f"operator:{pwd.getpwuid(0).pw_name}"
    assert local_operator(NOBODY, NOBODY).id == f"operator:{NOBODY}"


def test_anybody_else_is_told_who_may():
    with pytest.raises(NotAuthorizedError, match=f"user {NOBODY} is not an operator.*sudo -u root edgecore"):
        local_operator(NOBODY, 0)

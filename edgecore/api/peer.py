"""Who is at the other end of the control socket: decided by the kernel, never by what a client says.

unix(7), SO_PEERCRED: the credentials of the process at the moment it connected.
"""

from __future__ import annotations

import functools
import pwd
import socket
import struct
from typing import Final

from edgecore.base.errors import NotAuthorizedError
from edgecore.base.identity import Principal, operator

_UCRED: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid
_ROOT: Final = 0


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process that connected."""
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


def local_operator(uid: int, own_uid: int) -> Principal:
    """The operator that user `uid` is: root or the user that the core runs as. Raises NotAuthorizedError."""
    if uid not in {_ROOT, own_uid}:
        raise NotAuthorizedError(
            f"user {_user_name(uid)} is not an operator of this core: "
            f"use root or {_user_name(own_uid)}, for example `sudo -u {_user_name(own_uid)} edgecore ...`"
        )
    return operator(_user_name(uid))


@functools.lru_cache(maxsize=64)  # the user database may be a network away; a core meets two users
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user id without an entry, as in many containers
        return str(uid)

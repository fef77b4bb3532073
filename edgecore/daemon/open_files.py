"""How many files and sockets this process may have open: as many as the system lets it."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, and give what is in force.

    Each connection is a descriptor; login shells and systemd start processes with 1024, kept low only
    for programs that use select(2). This one does not (systemd.exec(5), LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warning("open files stay limited limit=%d error=%r", soft, error)
        return soft
    log.info("open files limit=%d before=%d", hard, soft)
    return hard

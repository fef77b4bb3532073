"""The credentials provider: a certificate is traded for temporary AWS credentials. Pure.

Answers and errors are those of "Authorizing direct calls to AWS services using AWS IoT Core credential
provider". The credentials are made up: nothing but a simulator takes them.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.access import Access, Holder

DEFAULT_SECONDS: Final = 3600
# AWS takes 900 to 43200; a test wants credentials that end soon.
MIN_SECONDS: Final = 1
MAX_SECONDS: Final = 43_200
# What is remembered of what was given: a test looks at the last few.
REMEMBERED: Final = 100
_ALIAS: Final = re.compile(r"[\w=,@-]{1,128}")

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a document."""

    status: int
    document: Document


class Provider:
    """Gives credentials for role aliases.

    `aliases`: alias -> seconds that its credentials live; None where every alias is known. `seconds`:
    how long credentials of other aliases live. `random(n)`: n bytes.
    """

    def __init__(
        self, aliases: Mapping[str, int] | None, seconds: int, random: Callable[[int], bytes]
    ) -> None:
        for name, asked in {"": seconds, **(aliases or {})}.items():
            if not MIN_SECONDS <= asked <= MAX_SECONDS:
                where = f"alias {name}" if name else "credentials"
                raise ConfigError(
                    where, "seconds", str(asked), f"within {MIN_SECONDS} and {MAX_SECONDS}, as AWS's most"
                )
        self._aliases = aliases
        self._seconds = seconds
        self._random = random
        self._issued: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)

    def issue(self, alias: str, thing: str | None, holder: Holder, access: Access, wall: float) -> Answer:
        """Answer a request for the credentials of a role alias. `thing`: of x-amzn-iot-thingname."""
        if not _ALIAS.fullmatch(alias) or (self._aliases is not None and alias not in self._aliases):
            return self._refused(404, "Not Found")
        attached = not thing or holder.thing(thing) is not None
        if not attached or not access.allows("iot:AssumeRoleWithCertificate", f"rolealias/{alias}"):
            return self._refused(403, "Access Denied")
        ends = dt.datetime.fromtimestamp(int(wall) + (self._aliases or {}).get(alias, self._seconds), dt.UTC)
        key_id = "ASIA" + base64.b32encode(self._random(10)).decode()
        self._issued.append((key_id, alias))
        return Answer(
            200,
            {
                "credentials": {
                    "accessKeyId": key_id,
                    "secretAccessKey": base64.b64encode(self._random(30)).decode(),
                    "sessionToken": base64.b64encode(self._random(96)).decode(),
                    "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            },
        )

    def status(self) -> list[dict[str, str]]:
        """The key ids of the credentials that were given last, the oldest first, and for which alias."""
        return [{"accessKeyId": key_id, "alias": alias} for key_id, alias in self._issued]

    def _refused(self, status: int, message: str) -> Answer:
        return Answer(status, {"message": message, "traceId": self._random(16).hex()})

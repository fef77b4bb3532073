"""The CLI's way to a running core: HTTP over run/control.sock.

http.client and not aiohttp: one request needs no event loop, and a verb starts in half the time.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from edgecore.base.errors import EdgecoreError, NotAuthorizedError, UnavailableError

# A durable publish on a slow SD card, or a key made on a Pi Zero, takes a second; a hung core for ever.
TIMEOUT: Final = 30.0

Json = dict[str, object]


class NotRunningError(UnavailableError):
    """No core answers on the socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no core runs here: nobody answers on {path}\n"
            f"start it with `edgecore run --dir {path.parent.parent}`, or name another folder with --dir"
        )


class ControlError(EdgecoreError):
    """The core answered with an error. `status` is HTTP's."""

    def __init__(self, status: int, error: str, hint: str) -> None:
        self.status = status
        super().__init__(f"{error}\n{hint}" if hint else error)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("edgecore", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket. Raises NotRunningError, NotAuthorizedError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(self._path) from error
        except PermissionError as error:
            raise NotAuthorizedError(
                f"{self._path}: permission denied\n"
                "only root and the user that the core runs as are operators: try `sudo edgecore ...`"
            ) from error


class Control:
    """Questions to the core that answers on the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str) -> Json:
        """The answer to GET. Raises NotRunningError, NotAuthorizedError, ControlError."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        """The answer to POST. Raises as `get`."""
        return self._ask("POST", path, body or {})

    def stream(self, path: str, patience: float | None = None) -> Generator[Json, None, None]:
        """Each line of a streamed answer, as it comes, until the core ends it. Raises as `get`.

        The first thing given is an empty object, once the core has granted the request. UnavailableError
        too when nothing comes for `patience` seconds.
        """
        connection = _UnixConnection(self._path, patience)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise _error(response)
            yield {}
            while line := response.readline():
                yield json.loads(line)
        except TimeoutError as error:
            raise UnavailableError(f"the core at {self._path} said nothing for {patience:g} s") from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> Json:
        connection = _UnixConnection(self._path, TIMEOUT)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise _error(response)
            content = response.read()
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise UnavailableError(
                f"the core at {self._path} broke off ({type(error).__name__}: {error})\n"
                "it may be stopping or hung: look at its log"
            ) from error
        finally:
            connection.close()
        answer: Json = json.loads(content)
        return answer


def _error(response: http.client.HTTPResponse) -> EdgecoreError:
    try:
        body = json.loads(response.read())
        error, hint = str(body["error"]), str(body.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        error, hint = f"the core answered {response.status} {response.reason}", ""
    if response.status == http.HTTPStatus.FORBIDDEN:
        return NotAuthorizedError(error)
    return ControlError(response.status, error, hint)

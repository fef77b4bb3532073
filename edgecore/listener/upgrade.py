"""The HTTP request that turns a connection into a WebSocket (RFC 6455, 4): how much is read, who may ask.

The grammar is the library's (websockets); here are the bounds, the subprotocol and the pages that are
let in. Knows no sockets, no MQTT packets and no time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

# What a request may have in all: those of MQTT clients have 200 to 500 bytes, and a browser that sends
# this host's cookies stays below 8 KB, which is what common servers take of one line.
MAX_REQUEST_BYTES: Final = 8 * 1024
# MQTT 3.1.1 and 5, 6: the name that a client must offer. "mqttv3.1", which some offer beside it, means
# MQTT 3.1, and that is not spoken here.
SUBPROTOCOL: Final = Subprotocol("mqtt")

_SUBPROTOCOLS: Final = (SUBPROTOCOL,)
_BEGINNING: Final = b"GET "
_END: Final = b"\r\n\r\n"

# The library tells of every connection; the listener's own log says what an operator needs.
_library_log = logging.getLogger("edgecore.listener.websocket.library")
_library_log.setLevel(logging.WARNING)


class Upgrade:
    """One connection's request, gathered until it is whole. `protocol` then speaks WebSocket, if accepted.

    `reason` says why it was refused, or is "". `origins`: the web pages whose scripts may connect;
    `max_frame`: the largest frame that is taken afterwards.
    """

    __slots__ = ("_origins", "_request", "protocol", "reason")

    def __init__(self, origins: Sequence[str], max_frame: int) -> None:
        self._origins = origins
        self._request = bytearray()
        self.reason = ""
        # Messages may be of any length: each fragment is passed on as it comes.
        self.protocol = ServerProtocol(
            subprotocols=_SUBPROTOCOLS, max_size=(None, max_frame), logger=_library_log
        )

    @property
    def accepted(self) -> bool:
        """Whether the answer was the one that the client wants."""
        return self.protocol.state is OPEN

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the request; gives the answer once it is whole, or too large, else b""."""
        request = self._request
        start = max(0, len(request) - len(_END) + 1)
        request += data
        end = request.find(_END, start)
        if not request.startswith(_BEGINNING[: len(request)]):
            self._answer(self.protocol.reject(400, "This port speaks MQTT over WebSocket.\n"))
            self.reason = "what came is no request for a WebSocket: MQTT without it goes to listener.port"
        elif end < 0 and len(request) <= MAX_REQUEST_BYTES:
            return b""
        elif not 0 <= end <= MAX_REQUEST_BYTES - len(_END):
            self._answer(self.protocol.reject(431, f"A request has at most {MAX_REQUEST_BYTES} bytes.\n"))
            self.reason = f"the request for a WebSocket has more than {MAX_REQUEST_BYTES} bytes"
        elif len(request) > end + len(_END):
            # 4.1: "the client MUST wait for a response from the server before sending any further data".
            self._answer(self.protocol.reject(400, "Wait for the answer before you send frames.\n"))
            self.reason = "bytes came behind the request for a WebSocket, before its answer"
        else:
            self._judge(bytes(request))
        request.clear()
        return b"".join(self.protocol.data_to_send())

    def _judge(self, request: bytes) -> None:
        protocol = self.protocol
        protocol.receive_data(request)
        for event in protocol.events_received():
            assert isinstance(event, Request)
            self.reason = foreign_page(event.headers, self._origins)
            if self.reason:
                self._answer(protocol.reject(403, f"{self.reason}.\n"))
            else:
                self._answer(protocol.accept(event))
        if not self.accepted and not self.reason:
            self.reason = f"no request for a WebSocket: {protocol.handshake_exc}"

    def _answer(self, response: Response) -> None:
        self.protocol.send_response(response)


def foreign_page(headers: Headers, origins: Sequence[str]) -> str:
    """Why the page that the request comes from may not connect, or "" when it may, or when it is no page.

    A browser shows the certificate that it holds on behalf of any page, and says in `Origin` whose (RFC
    6455, 10.2). Other clients send none, or, as paho does, that of the very place they connect to; no
    page has that one, since none is served there.
    """
    own = {f"https://{host.strip().lower()}" for host in headers.get_all("Host")}
    for origin in headers.get_all("Origin"):
        if origin.lower() not in own and origin not in origins:
            return f"the page {origin[:100]!r} is not among listener.websocket_origins"
    return ""

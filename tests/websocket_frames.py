"""What a WebSocket client sends, byte by byte, for the tests that send what no client should."""

from __future__ import annotations

MASK = b"\x11\x22\x33\x44"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def request(*lines, path="/mqtt", host="core:8884", protocol="mqtt", **changed):
    """The request of a client; `changed` headers by name with _ for -, None to leave one out."""
    headers = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",  # RFC 6455, 1.3
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    sent = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *sent, *lines, "", ""]).encode()


def frame(opcode=BINARY, payload=b"", fin=True, mask=MASK, rsv=0, length=None):
    """One frame (RFC 6455, 5.2); `length` announces another length than the payload's."""
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if size < 126:
        head += bytes([flag | size])
    elif size < 1 << 16:
        head += bytes([flag | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([flag | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def frames_in(data):
    """(opcode, payload) of each whole frame that a server sent."""
    found, offset = [], 0
    while offset < len(data):
        assert data[offset] & 0x80, "a server's frames are whole"
        size, start = data[offset + 1], offset + 2
        if size == 126:
            size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
        elif size == 127:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        found.append((data[offset] & 0x0F, data[start : start + size]))
        offset = start + size
    return found

"""A minimal core for the broker benchmark, in a process of its own: the real listener and the real router.

python -m tests.benchmarks.broker_core PKI_FOLDER PORT
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path

import uvloop

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.router import Router

ROWS = (Row(("device:*",), ("dt/#",), ("device:*",)),)


class Book:
    """Certificates by fingerprint, from the file that load_pki wrote."""

    def __init__(self, path: Path) -> None:
        pairs = (line.split() for line in path.read_text().splitlines())
        self._names = dict(pairs)

    def names(self) -> list[str]:
        return list(self._names.values())

    def lookup(self, fingerprint: str) -> str | None:
        return self._names.get(fingerprint)


async def serve(pki: Path, port: int) -> None:
    clock = SystemClock()
    router = Router(clock)
    book = Book(pki / "fingerprints.txt")
    devices = {name: DeviceSpec(name, name) for name in book.names()}
    router.set_rows(ROWS, devices)
    files = TlsFiles(pki / "ca.pem", pki / "server.pem", pki / "server.key")
    settings = ListenerSettings("127.0.0.1", port, websocket=False)
    listener = ListenerService(settings, router, book, devices.get, files, clock)

    def ready() -> None:
        gc.collect()
        gc.freeze()
        print(listener.port, flush=True)

    await listener.run(ready)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))

"""Bad neighbours, in a process of their own: one publishes without end, one subscribes to it and never reads.

python -m tests.benchmarks.neighbours SITE_FOLDER PORT
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V311, Publish
from tests.benchmarks.brokers import EDGECORE, Broker
from tests.benchmarks.client import Client
from tests.benchmarks.load import Flood
from tests.benchmarks.site import Site

# A neighbour's CPU would not be this machine's: it yields to the honest devices' generator.
NICE = 10
SIZE = 64


def main(argv: list[str]) -> int:
    """Be a nuisance until standard input ends."""
    os.nice(NICE)
    broker = Broker(EDGECORE, Site(Path(argv[0])), int(argv[1]), 0)
    reader = Client(broker, 1, "never-reads")
    reader.subscribe("fl/#", 0)
    flooder = Client(broker, 2, "floods")
    frame = encode(Publish("fl/flood", b"x" * SIZE, 0), V311)
    Flood(flooder, frame, threading.Event()).start()
    print("here", flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the tests of the inference room share: the committed model, a bus that remembers, drawn scenes."""

import time
from pathlib import Path

import pytest

from edgecore.base.commit import Commit
from edgecore.base.interfaces import Receipt
from edgecore.inference.engine import load_engine

MODELS = Path(__file__).resolve().parents[3] / "deploy" / "traffic-junction" / "models"


class RecordingBus:
    """A bus that keeps what was published. `receipt` says what became of each message."""

    def __init__(self):
        self.messages = []
        self.receipt = lambda message: Receipt(allowed=True, receivers=1)

    def publish(self, message):
        self.messages.append(message)
        return self.receipt(message)

    def on(self, topic):
        return [message for message in self.messages if message.topic == topic]


class WaitingBus(RecordingBus):
    """A bus whose QoS 1 messages are durable only when the test says so."""

    def __init__(self):
        super().__init__()
        self.commits = []
        self.receipt = self.commit

    def commit(self, message):
        if message.qos == 0:
            return Receipt(allowed=True)
        self.commits.append(Commit())
        return Receipt(allowed=True, receivers=1, commits=(self.commits[-1],))


@pytest.fixture
def bus():
    return RecordingBus()


@pytest.fixture
def waiting_bus():
    return WaitingBus()


@pytest.fixture(scope="session")
def models():
    return MODELS


@pytest.fixture(scope="session")
def engine():
    return load_engine(MODELS, "traffic.onnx", 1, 2_000_000)


@pytest.fixture
def monotonic():
    return time.perf_counter

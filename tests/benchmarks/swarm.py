"""Many devices in one process: non-blocking sockets over one epoll, driven by lines of JSON on standard input.

    python -m tests.benchmarks.swarm SITE_FOLDER PORT FIRST COUNT EXPIRY

EXPIRY: seconds that each session is to outlive its connection (MQTT 5 then), 0 for a clean start in 3.1.1.

All that can be made before the clock runs is made before: TLS objects, certificates, packets. A command
gives one line of JSON back; the end of standard input ends the process. Commands:

    {"do": "connect", "at_once": N, "within": SECONDS}   TLS, CONNECT, SUBSCRIBE; N under way at a time
    {"do": "take", "within": SECONDS}                    wait until each device has a message
    {"do": "drop"}                                       cut all connections
    {"do": "prepare"}                                    make the next TLS objects
"""

from __future__ import annotations

import errno
import json
import select
import socket
import ssl
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from edgecore.mqtt.packets import V5, V311
from tests.benchmarks.client import connect_packet, subscribe_packet
from tests.benchmarks.site import Site, name_of

CONNACK, SUBACK = 0x20, 0x90
RECORD = 16_384
# A connection that is cut sends RST and leaves no TIME_WAIT behind: its port is free for the next round.
CUT = struct.pack("ii", 1, 0)


def is_success(first_byte: int, data: bytes) -> bool:
    """Whether `data` is that answer, saying yes: CONNACK's code is its fourth byte, SUBACK's the last."""
    if data[0] != first_byte or data[1] != len(data) - 2:
        return False
    return data[3] == 0 if first_byte == CONNACK else data[-1] <= 2


def command_topic(number: int) -> str:
    """What a device of the swarm listens on."""
    return f"cmd/{name_of(number)}/do"


class Device:
    """One connection from TCP to SUBACK.

    `present`: whether CONNACK said that its session was there; `served`: when SUBACK had come; `messages`:
    PUBLISH bytes since.
    """

    def __init__(self, number: int, context: ssl.SSLContext, expiry: int) -> None:
        version = V5 if expiry else V311
        self.number = number
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.packets = deque(
            (
                (connect_packet(name_of(number), version, expiry), CONNACK),
                (subscribe_packet(command_topic(number), 1, version), SUBACK),
            )
        )
        self.socket: socket.socket | None = None
        self.established = False
        self.answer = 0
        self.present = False
        self.served = 0.0
        self.messages = b""
        self.fault = ""

    def begin(self, port: int) -> int:
        """Begin to connect; gives the descriptor."""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
        code = self.socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            self.fault = errno.errorcode[code]
        return self.socket.fileno()

    def connected(self) -> None:
        """TCP is there: say hello."""
        self._shake_hands()
        self._flush()

    def readable(self, clock=time.perf_counter) -> None:
        """Take what came, answer it."""
        assert self.socket is not None
        try:
            data = self.socket.recv(RECORD)
        except BlockingIOError:
            return
        except OSError as error:
            self.fault = _name(error)
            return
        if not data:
            self.fault = "closed by the broker"
            return
        self.incoming.write(data)
        if not self.established:
            self._shake_hands()
        if self.established:
            self._read(clock)
        self._flush()

    def cut(self) -> None:
        """End it at once, as a power cut does."""
        if self.socket is not None:
            self.socket.close()

    def _shake_hands(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True
        self._say()

    def _say(self) -> None:
        packet, self.answer = self.packets.popleft()
        self.tls.write(packet)

    def _read(self, clock) -> None:
        while self.incoming.pending:
            try:
                data = self.tls.read(RECORD)
            except ssl.SSLWantReadError:
                return
            self._hear(data, clock)

    def _hear(self, data: bytes, clock) -> None:
        if self.served:
            self.messages += data
        elif not is_success(self.answer, data):
            self.fault = f"{data!r} came where a packet {self.answer:#x} is due"
        elif self.packets:
            self.present = bool(data[2] & 1)
            self._say()
        else:
            self.served = clock()

    def _flush(self) -> None:
        assert self.socket is not None
        data = self.outgoing.read()
        try:
            # A handshake and two packets: always less than the socket takes.
            if data and self.socket.send(data) != len(data):
                self.fault = "the socket did not take all"
        except OSError as error:
            self.fault = _name(error)


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


class Swarm:
    """The devices of this process and the loop that drives them."""

    def __init__(self, site: Site, port: int, numbers: Iterable[int], expiry: int) -> None:
        self._site = site
        self._expiry = expiry
        self._port = port
        self._numbers = list(numbers)
        self._poll = select.epoll()
        self._by_descriptor: dict[int, Device] = {}
        self._devices: list[Device] = []

    def prepare(self) -> dict[str, object]:
        """Make the TLS objects of the next connections. One context serves: TLS objects keep their own pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._site.pki / "ca.pem")
        self._devices = []
        for number in self._numbers:
            context.load_cert_chain(*self._site.certificate(number))
            self._devices.append(Device(number, context, self._expiry))
        return {"prepared": len(self._devices)}

    def connect(self, at_once: int, within: float) -> dict[str, object]:
        """Connect all, at most `at_once` under way. Times are those of time.perf_counter, one for all processes."""
        waiting = deque(self._devices)
        under_way = 0
        began, cpu = time.perf_counter(), time.process_time()
        deadline = began + within
        served: list[float] = []
        faults: list[str] = []
        while len(served) + len(faults) < len(self._devices) and time.perf_counter() < deadline:
            while waiting and under_way < at_once:
                self._begin(waiting.popleft())
                under_way += 1
            for device in self._turn(0.1):
                under_way -= 1
                if device.fault:
                    faults.append(f"{name_of(device.number)}: {device.fault}")
                else:
                    served.append(device.served)
        return {
            "began": began,
            "ended": max(served, default=began),
            "served": len(served),
            "present": sum(device.present for device in self._devices),
            "p50": sorted(served)[len(served) // 2] - began if served else 0.0,
            "cpu": time.process_time() - cpu,
            "faults": faults[:5],
        }

    def take(self, within: float) -> dict[str, object]:
        """Wait until every device has a message; gives how many have, and what else went wrong."""
        deadline = time.perf_counter() + within
        while time.perf_counter() < deadline and not all(device.messages for device in self._devices):
            self._turn(0.1)
        faults = [f"{name_of(device.number)}: {device.fault}" for device in self._devices if device.fault]
        return {"took": sum(bool(device.messages) for device in self._devices), "faults": faults[:5]}

    def drop(self) -> dict[str, object]:
        """Cut all connections."""
        for device in self._devices:
            device.cut()
        self._by_descriptor.clear()
        return {"dropped": len(self._devices)}

    def _begin(self, device: Device) -> None:
        descriptor = device.begin(self._port)
        self._by_descriptor[descriptor] = device
        self._poll.register(descriptor, select.EPOLLOUT)

    def _turn(self, timeout: float) -> list[Device]:
        """Deal with what has happened; gives the devices that are served now, or failed."""
        settled = []
        for descriptor, events in self._poll.poll(timeout):
            device = self._by_descriptor[descriptor]
            was_settled = bool(device.served or device.fault)
            if events & select.EPOLLOUT:
                self._poll.modify(descriptor, select.EPOLLIN)
                device.connected()
            else:
                device.readable()
            if device.fault:
                self._poll.unregister(descriptor)
            if not was_settled and (device.served or device.fault):
                settled.append(device)
        return settled


def main(argv: list[str]) -> int:
    """Obey commands until standard input ends."""
    folder, (port, first, count, expiry) = Path(argv[0]), map(int, argv[1:])
    swarm = Swarm(Site(folder), port, range(first, first + count), expiry)
    print(json.dumps(swarm.prepare()), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        action = {"connect": swarm.connect, "take": swarm.take, "drop": swarm.drop, "prepare": swarm.prepare}
        print(json.dumps(action[command.pop("do")](**command)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

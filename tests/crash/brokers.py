"""The brokers under the harness, as black boxes: edgecore, and Mosquitto as the control.

A broker starts, is killed and is stopped; a client of either role finds a Door. Everything lies in one
folder and is kept over restarts. Each is ended by its own pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import getpass
import os
import shutil
import signal
import socket

from edgecore.sim.core import Core
from edgecore.sim.device import Credentials
from edgecore.sim.pki import ThrowawayAuthority
from edgecore.sim.processes import Child, DemonstrationError, command, read_note, until, verb
from tests.crash.client import Door

# Who connects: one device publishes, one subscribes, each with several client ids.
ROLES = ("pub", "sub")
GROUP = """
[group]
name = "crash"

[devices.pub]

[devices.sub]

[devices.late]

[devices.gone]

[[routes]]
from = "device:pub"
topic = ["m/#", "r/#"]
to = "device:sub"

[[routes]]
from = "device:pub"
topic = "c/#"
to = "cloud"
"""
# Bounds that no round reaches: what a bound drops is not lost by a crash.
SETTINGS = """
[listener]
host = "127.0.0.1"
max_queued = 1000000
max_queued_bytes = "1GiB"
session_records = 60000
session_bytes = "1GiB"
sessions_bytes = "8GiB"

[uplink]
aws_limits = false
reconnect_min = "100ms"
reconnect_max = "1s"
"""
# Debian's own file says `persistence true` and leaves the interval at its default of 1,800 s. The limits of
# queues are lifted, as for edgecore.
MOSQUITTO = """\
listener {port} 127.0.0.1
cafile {ca}
certfile {certificate}
keyfile {key}
require_certificate true
allow_anonymous true
persistence true
persistence_location {state}/
max_queued_messages 0
max_inflight_messages 256
set_tcp_nodelay true
log_dest none
# Started by root it would change to a user that cannot write here.
user {user}
"""
STOP = 15.0
START = 20.0


def mosquitto_program():
    """Where Mosquitto is, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Edgecore:
    """The real daemon, by its verbs. `under`: a command that runs it, such as strace with its options."""

    name = "edgecore"

    def __init__(self, folder, under=()):
        self.folder = folder
        self.core = Core(folder / "core", folder / "certs", folder / "init.log")
        self.log = folder / "core.log"
        self.under = under
        self.pid = 0
        self._child = None
        self._port = 0
        self._contexts = {}
        self._read = 0
        self._aside = set()

    async def prepare(self, group=GROUP, settings=SETTINGS, devices=ROLES, cloud=()):
        """Make the core, its group and its devices. Once, before the first start."""
        (self.folder / "group").mkdir(parents=True)
        (self.folder / "group" / "group.toml").write_text(group)
        await self.core.initialise("crash-core", *cloud)
        await self.core.configure(settings)
        for role in devices:
            await self.add_device(role)

    async def add_device(self, name):
        """`edgecore device add`, while it runs or not."""
        await self.core.add_devices([name])
        self._contexts[name] = self.core.credentials(name).context()

    async def revoke_device(self, name):
        """`edgecore device revoke`."""
        await verb("device", "revoke", name, "--dir", str(self.core.folder))

    def copy(self, folder):
        """A core in another folder, with the same group and devices; its files are the caller's to write."""
        made = Edgecore(folder)
        made._contexts = self._contexts
        shutil.copytree(self.folder / "group", folder / "group")
        return made

    async def _launch(self):
        note = self.core.folder / "run" / "ports.json"
        note.unlink(missing_ok=True)  # what is there afterwards is of this run
        words = ["run", "--dir", str(self.core.folder), "--mqtt-port", str(self._port)]
        words += ["--group", str(self.folder / "group")]
        with self.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self.under,
                *command(*words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._child = Child("the core", process, self.log)

    async def start(self):
        """Run it until devices can connect. Raises DemonstrationError."""
        await self._launch()
        note = self.core.folder / "run" / "ports.json"

        async def look():
            return await asyncio.to_thread(read_note, note)

        ports = await until("the core's MQTT port", START, look, self._child)
        self.pid, self._port = ports["pid"], ports["mqtt"]

    async def start_and_kill(self, after):
        """Kill it `after` seconds from its start, ready or not. Not `under` anything."""
        await self._launch()
        self.pid = self._child.pid
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._child.ended(), after)
        await self.kill()

    async def kill(self):
        """SIGKILL, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self._child.ended()

    async def stop(self):
        """End it in order; gives the exit code."""
        if self._child is None:
            return 0
        if self._child.running:
            os.kill(self.pid, signal.SIGTERM)
        return await asyncio.wait_for(self._child.ended(), STOP)

    def check(self):
        """Raise DemonstrationError when it has ended by itself."""
        if not self._child.running:
            raise DemonstrationError(f"the core ended by itself: {self.log.read_text()[-2000:]}")

    def door(self, role):
        """Where a client of that role connects."""
        return Door("127.0.0.1", self._port, self._contexts[role])

    def complaints(self):
        """What it logged as an error, or set aside as damaged, since the last look: a kill gives no reason to."""
        lines = self.log.read_text().splitlines()
        new, self._read = lines[self._read :], len(lines)
        found = [
            line for line in new if line.split(" ")[1:2] in (["error"], ["critical"]) or "Traceback" in line
        ]
        aside = {path.name for path in (self.folder / "core").rglob("*.damaged-*")} - self._aside
        self._aside |= aside
        return found + [f"{name} was set aside" for name in sorted(aside)]


class Mosquitto:
    """Debian's Mosquitto with `persistence true`. `ending`: the signal by which `kill` ends it."""

    name = "mosquitto"

    def __init__(self, folder, ending=signal.SIGKILL):
        self.folder = folder
        self._ending = ending
        self._process = None
        self._port = 0
        self._contexts = {}

    async def prepare(self):
        """Make certificates and the configuration."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self):
        pki, state = self.folder / "pki", self.folder / "state"
        state.mkdir(parents=True)
        now = dt.datetime.now(dt.UTC)
        authority = ThrowawayAuthority.load_or_create(pki, now)
        server = authority.server("server", ["localhost"], now)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        for role in ROLES:
            pair = authority.client(role, role, now)
            self._contexts[role] = Credentials(pair.certificate, pair.key, authority.ca).context()
        words = {"port": self._port, "state": state, "user": getpass.getuser()}
        words |= {"ca": authority.ca, "certificate": server.certificate, "key": server.key}
        (self.folder / "mosquitto.conf").write_text(MOSQUITTO.format(**words))

    async def start(self):
        """Run it until it accepts connections."""
        program = mosquitto_program()
        assert program, "mosquitto is not installed: apt-get install mosquitto"
        self._process = await asyncio.create_subprocess_exec(
            program, "-c", str(self.folder / "mosquitto.conf"), stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START):
            while not await self._listens():
                self.check()
                await asyncio.sleep(0.02)

    async def _listens(self):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.transport.abort()
        return True

    async def start_and_kill(self, after):
        """Kill it `after` seconds from its start, ready or not."""
        starting = asyncio.create_task(self.start())
        await asyncio.wait([starting], timeout=after)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await self.kill()

    async def kill(self):
        """Send the signal, and wait for the end."""
        if self._process.returncode is None:
            self._process.send_signal(self._ending)
            await asyncio.wait_for(self._process.wait(), STOP)

    async def stop(self):
        """End it in order; gives the exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), STOP)

    def check(self):
        """Raise when it has ended by itself."""
        if self._process.returncode is not None:
            raise DemonstrationError(f"mosquitto ended with {self._process.returncode}")

    def door(self, role):
        """Where a client of that role connects."""
        return Door("127.0.0.1", self._port, self._contexts[role])

    def complaints(self):
        """Mosquitto's log is not looked at."""
        return []

"""The small protocols by which rooms meet. Implemented by rooms, handed over only in daemon/assembly.py.

What users publish goes through the Bus. Questions and commands go through the other protocols.
Nothing here may block: what takes time is a coroutine, what must be durable gives a Commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from edgecore.base.commit import Commit
from edgecore.base.group import ActiveGroup
from edgecore.base.identity import Principal
from edgecore.base.message import Message

Ready = Callable[[], None]


class Service(Protocol):
    """One lifecycle: `run` until cancelled; `ready()` once work can be accepted and durably queued."""

    async def run(self, ready: Ready) -> None:
        """Run until cancelled, opening everything in `async with`."""
        ...

    def status(self) -> Mapping[str, object]:
        """What `edgecore status` shows of this service: JSON-able, cheap, no waiting."""
        ...


class Subscriber(Protocol):
    """Something that takes messages: a function's queue, the outbox, the shadows, a `Receiver`."""

    @property
    def principal(self) -> Principal:
        """Whom the messages are for."""
        ...

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:
        """Take `message` at effective `qos`. Must not block and must not publish.

        `retain` is the RETAIN flag to send to a device. Gives a Commit when the message is durable
        only later, None when there is nothing to wait for. Raises RefusedError when its queue is
        full and the rule is "refuse".
        """
        ...


class Receiver(Subscriber, Protocol):
    """A Subscriber that may ask for messages by topic filter: a device's session, an operator's feed."""

    @property
    def connected(self) -> bool:
        """Whether somebody is there now; False for a session that is only kept."""
        ...

    def deliver(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> Commit | None:
        """Take `message` as a Subscriber does.

        `identifiers`: the subscription identifiers to send with it (MQTT 5, 3.3.2.3.8). `share`: the
        "$share/NAME/FILTER" by which this receiver was chosen, to give it to another if need be; else "".
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a publish.

    `allowed`: some route permits it (or its sender needs none). `receivers`: how many took it.
    `commits`: what must be durable before it is acknowledged. `refused`: a queue was full.
    """

    allowed: bool
    receivers: int = 0
    commits: tuple[Commit, ...] = ()
    refused: str = ""


class Bus(Protocol):
    """What a room sees of the router."""

    def publish(self, message: Message) -> Receipt:
        """Authorise, match and deliver, synchronously."""
        ...

    def attach(self, target: str, subscriber: Subscriber) -> None:
        """Be the receiver for a route target: "function:NAME", "camera:NAME", "cloud", "shadow"."""
        ...

    def detach(self, target: str, subscriber: Subscriber) -> None:
        """Stop receiving for the target, if `subscriber` still holds it."""
        ...

    def subscribe(
        self,
        subscriber: Receiver,
        topic_filter: str,
        qos: int,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifier: int = 0,
    ) -> bool:
        """Ask for messages; False when no route could ever deliver one (SUBACK 0x87).

        A filter "$share/NAME/FILTER" makes the subscriber a member of that share group: each message
        goes to one of its members. `identifier`: a subscription identifier, or 0.
        """
        ...

    def unsubscribe(self, subscriber: Receiver, topic_filter: str) -> bool:
        """Take a subscription back; False when there was none."""
        ...

    def unsubscribe_all(self, subscriber: Receiver) -> None:
        """Forget everything that this subscriber asked for."""
        ...


class CloudLink(Protocol):
    """The connection to the cloud, for rooms that speak with a service there (shadow sync)."""

    @property
    def connected(self) -> bool:
        """Whether the link is up now."""
        ...

    def watch(self, changed: Callable[[bool], None]) -> Callable[[], None]:
        """Call `changed(connected)` at each change, on the loop. Gives the function that ends it."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 past the outbox; returns after the cloud's PUBACK.

        Raises TransientCloudError when offline or cut, PermanentCloudError when refused.
        """
        ...

    async def subscribe(self, topic_filter: str, receive: Callable[[str, bytes], Commit | None]) -> None:
        """Hand messages on the filter to `receive(topic, payload)`; acknowledged after its Commit.

        Lasts until the link goes down: subscribe again at each connect. Raises as `publish`.
        """
        ...


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message that the cloud will never take, kept with the reason. Times are epoch seconds.

    `time`: when it was set aside; `came_at`: when it came into the outbox. `id`: its name for operators.
    One that cannot be read has the topic "?", and its bytes as payload.
    """

    reason: str
    time: float
    topic: str
    payload: bytes = b""
    id: str = ""
    came_at: float = 0.0
    qos: int = 0
    sender: str = ""


@dataclass(frozen=True, slots=True)
class AsideOutcome:
    """What a command did to messages that were set aside: to how many, and why not to others, by their id."""

    done: int
    left: Mapping[str, str]


class AsideMessages(Protocol):
    """The messages that the cloud will never take, for the control API.

    Every method raises OutboxError for an id that is none, and when there is no outbox.
    """

    async def set_aside(self, after: str = "", limit: int = 100) -> Sequence[SetAside]:
        """At most `limit`, the oldest first, from behind the one with the id `after`."""
        ...

    async def find_aside(self, name: str) -> SetAside:
        """The one with the id `name`. Raises OutboxError when it is not there."""
        ...

    async def retry_aside(self, names: Sequence[str] | None) -> AsideOutcome:
        """Put those, or all, into the outbox again, as if they came now; each leaves here in that commit."""
        ...

    async def drop_aside(self, names: Sequence[str] | None) -> AsideOutcome:
        """Give up those, or all."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary AWS credentials. `expiration`: as AWS writes it; `expires_at`: the same in epoch seconds."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: str
    expires_at: float


class CloudCredentials(Protocol):
    """Where temporary AWS credentials come from."""

    @property
    def region(self) -> str:
        """The AWS region, "" when it is not known."""
        ...

    async def credentials(self) -> Credentials:
        """Credentials that are good now. Raises CredentialsError."""
        ...


@dataclass(frozen=True, slots=True)
class ShadowSummary:
    """A shadow in a list. `name`: "" for the classic one; `bytes`: of desired and reported.

    `cloud`: "-" when it is not synchronised, else "same", "pending", or what hinders it.
    """

    thing: str
    name: str
    version: int
    bytes: int
    cloud: str


class ShadowList(Protocol):
    """Which shadows there are: what AWS IoT tells over HTTP alone (ListNamedShadowsForThing)."""

    def shadows(self) -> Sequence[ShadowSummary]:
        """All that exist, by thing and name."""
        ...


# RFC 5280, 4.1.2.5: a certificate that has no end says 9999-12-31T23:59:59Z.
NO_END: Final = 253_402_300_799.0


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """A certificate of a device, as the registry keeps it. Times are epoch seconds.

    `fingerprint`: SHA-256 of the DER, hex. `issuer`: "own" when an authority of this core signed it,
    "registered" when it is another's and trusted by itself; `pem` then holds it. `authority`: the key id of
    the authority that signed it, or of the newest one that was handed out with a registered one.
    `revoked_at`: None while it is good. Older registries noted neither `authority` nor `serial` ("") nor
    when it was revoked (0).
    """

    fingerprint: str
    added_at: float
    issuer: Literal["own", "registered"] = "own"
    authority: str = ""
    serial: str = ""
    not_before: float = 0.0
    not_after: float = NO_END
    revoked_at: float | None = None
    pem: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device in the registry, with every certificate that it was given, the oldest first."""

    name: str
    added_at: float
    certificates: tuple[DeviceCertificate, ...] = ()

    @property
    def good(self) -> tuple[DeviceCertificate, ...]:
        """Those that were not revoked."""
        return tuple(each for each in self.certificates if each.revoked_at is None)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of those that were not revoked."""
        return tuple(each.fingerprint for each in self.good)

    @property
    def revoked(self) -> tuple[str, ...]:
        """The fingerprints of those that were revoked."""
        return tuple(each.fingerprint for each in self.certificates if each.revoked_at is not None)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """What `device add` hands out, PEM. `key` is empty when the device has its own.

    `ca` is what the device must trust: one certificate, or two while the authority changes.
    """

    name: str
    certificate: bytes
    key: bytes
    ca: bytes
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A change of the core's authority that is under way.

    `authority`: the key id of the new one. `waiting`: the devices that hold nothing of it yet.
    """

    authority: str
    waiting: tuple[str, ...]


class Devices(Protocol):
    """The registry, for the control API. Its methods raise CertificateError for what cannot be done."""

    async def add(
        self, name: str, csr: bytes = b"", *, certificate: bytes = b"", days: int = 0
    ) -> IssuedCertificate:
        """Let device `name` in with one more certificate.

        For a new key, for the key of `csr`, or the existing `certificate` (PEM) itself. One that is made
        here ends after `days`; 0: never.
        """
        ...

    async def renew(
        self, name: str, csr: bytes = b"", *, certificate: bytes = b"", days: int = 0
    ) -> IssuedCertificate:
        """As `add`, for a device that holds a good certificate. Those that it has stay good."""
        ...

    async def revoke(self, name: str, certificate: str | None = None) -> DeviceRecord:
        """Revoke the certificate whose fingerprint begins so, or all, and close their sessions now."""
        ...

    def record(self, name: str) -> DeviceRecord:
        """One device."""
        ...

    def records(self) -> Sequence[DeviceRecord]:
        """All devices, by name."""
        ...

    def rotation(self) -> Rotation | None:
        """The change of the authority that is under way, if one is."""
        ...

    async def rotate(self) -> Rotation:
        """Begin to change the authority: a new one signs devices, both are trusted."""
        ...

    async def finish_rotation(self, *, force: bool = False) -> Rotation:
        """End the old authority and revoke what it signed. Gives what was still waiting, with `force`."""
        ...


class DevicePasswords(Protocol):
    """The devices that may come with a password, for the control API."""

    async def set(self, name: str, password: bytes) -> None:
        """Let device `name` come with `password`, and with no other one. Raises PasswordError."""
        ...

    async def remove(self, name: str) -> bool:
        """Take the device's password away and close its sessions; False when it had none."""
        ...

    def names(self) -> Sequence[str]:
        """The devices that have a password, by name."""
        ...


class Units(Protocol):
    """The running units, for deployments."""

    async def activate(self, active: ActiveGroup, units: Sequence[str]) -> None:
        """Make `active` the group that runs and replace the named units, in order.

        Returns when each replaced unit is ready or known broken.
        """
        ...

    def active(self) -> ActiveGroup:
        """The group that runs now."""
        ...


class Statuses(Protocol):
    """What every unit says of itself, for the control API."""

    def statuses(self) -> Mapping[str, Mapping[str, object]]:
        """Unit name -> state, restarts, reason and the service's own status."""
        ...

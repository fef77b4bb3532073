"""Who a client is and what its policies let it do. Pure.

The account is two tables: policies, and things with their certificates. Without them every
certificate of the CA may do everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgecore.mqtt import packets as p
from edgecore.sim.cloud.policy import Context, Policy, Statement, decide

# Decisions that are remembered for one connection; the bound is for a flood of topics.
MAX_MEMO: Final = 4096


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client proved itself with. `id`: SHA-256 of the certificate, 64 hex digits, as AWS's."""

    id: str
    name: str = ""
    variables: Context = field(default_factory=dict)


ANYBODY: Final = Certificate("")


@dataclass(frozen=True, slots=True)
class Thing:
    """An entry of the registry."""

    name: str
    kind: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holder:
    """What is attached to one certificate. `policies` is None where everything is allowed."""

    things: Mapping[str, Thing] | None = None
    policies: tuple[Policy, ...] | None = None
    active: bool = True

    def thing(self, name: str) -> Thing | None:
        """The attached thing of that name. Without a table of things every thing is attached."""
        return Thing(name) if self.things is None else self.things.get(name)


class Account:
    """Holders by certificate id, and denials that hold for all (a fault on demand)."""

    def __init__(self, holders: Mapping[str, Holder] | None = None, other: Holder | None = None) -> None:
        self.generation = 0
        self.denials: tuple[Statement, ...] = ()
        self._holders = dict(holders or {})
        self._other = other or Holder()

    def become(self, account: Account) -> None:
        """Take the tables of another one; connections that stand are judged by them from now on."""
        self._holders, self._other = account._holders, account._other
        self.generation += 1

    def deny(self, denials: tuple[Statement, ...]) -> None:
        """Deny these to everybody, and nothing else."""
        self.denials = denials
        self.generation += 1

    def holder(self, certificate: Certificate) -> Holder:
        """What is attached to a certificate."""
        return self._holders.get(certificate.id, self._other)

    def connect(self, certificate: Certificate, client_id: str, address: str) -> Access:
        """The rights of an MQTT connection. The thing is the one whose name is the client id."""
        return Access(self, certificate, address, client_id)

    def request(self, certificate: Certificate, address: str) -> Access:
        """The rights of an HTTPS request, which has neither client id nor thing."""
        return Access(self, certificate, address, "")


class Access:
    """What one connection may do; decisions are remembered until the account changes."""

    def __init__(self, account: Account, certificate: Certificate, address: str, client_id: str) -> None:
        self._account = account
        self._certificate = certificate
        self._address = address
        self._client_id = client_id
        self._memo: dict[tuple[str, str], bool] = {}
        self._learn()

    def _learn(self) -> None:
        account = self._account
        holder = account.holder(self._certificate)
        thing = holder.thing(self._client_id) if self._client_id else None
        # A certificate that is not active may do nothing.
        self._policies = holder.policies if holder.active else ()
        self._context = _context(self._certificate, self._address, self._client_id, thing)
        self._generation = account.generation
        self._restricted = self._policies is not None or bool(account.denials)
        self._memo.clear()

    @property
    def restricted(self) -> bool:
        """Whether anything may be forbidden."""
        return self._restricted or self._generation != self._account.generation

    def allows(self, action: str, resource: str, more: Context | None = None) -> bool:
        """Whether `action` ("iot:Publish") on `resource` ("topic/a") is allowed, with `more` variables."""
        if self._generation != self._account.generation or len(self._memo) >= MAX_MEMO:
            self._learn()
        if not self._restricted:
            return True
        if more:
            return self._decide(action, resource, {**self._context, **more})
        known = self._memo.get((action, resource))
        if known is None:
            known = self._memo[action, resource] = self._decide(action, resource, self._context)
        return known

    def _decide(self, action: str, resource: str, context: Context) -> bool:
        if any(one.applies(action, resource, context) for one in self._account.denials):
            return False
        return self._policies is None or decide(self._policies, action, resource, context)

    # -- the questions of an MQTT connection

    def may_connect(self, connect: p.Connect, client_id: str) -> bool:
        """iot:Connect, with what the CONNECT asks for."""
        attributes = [] if connect.clean_start else ["PersistentConnect"]
        more: dict[str, tuple[str, ...]] = {}
        if connect.will is not None:
            attributes.append("LastWill")
            more["iot:lastwilltopic"] = (connect.will.topic,)
        if attributes:
            more["iot:connectattributes"] = tuple(attributes)
        return self.allows("iot:Connect", f"client/{client_id}", more)

    def may_publish(self, topic: str, retain: bool) -> bool:
        """iot:Publish, and for a retained message iot:RetainPublish too."""
        resource = f"topic/{topic}"
        return self.allows("iot:Publish", resource) and (
            not retain or self.allows("iot:RetainPublish", resource)
        )

    def may_subscribe(self, topic_filter: str) -> bool:
        """iot:Subscribe."""
        return self.allows("iot:Subscribe", f"topicfilter/{topic_filter}")

    def may_receive(self, topic: str) -> bool:
        """iot:Receive, asked at each delivery."""
        return self.allows("iot:Receive", f"topic/{topic}")


def _context(
    certificate: Certificate, address: str, client_id: str = "", thing: Thing | None = None
) -> Context:
    context: dict[str, tuple[str, ...]] = dict(certificate.variables)
    if address:
        context["aws:sourceip"] = (address,)
    if client_id:
        context["iot:clientid"] = (client_id,)
        context["iot:connection.thing.isattached"] = ("true" if thing else "false",)
    if thing is not None:
        context["iot:connection.thing.thingname"] = (thing.name,)
        if thing.kind:
            context["iot:connection.thing.thingtypename"] = (thing.kind,)
        for name, value in thing.attributes.items():
            context[f"iot:connection.thing.attributes[{name.lower()}]"] = (value,)
    return context

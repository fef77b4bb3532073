"""What happens to the dialogue about a shadow, and what it wants done: values only. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgecore.shadow.announcement import Announcement
from edgecore.shadow.document import Document, JsonObject
from edgecore.shadow.replica import Adoption
from edgecore.shadow.topics import Verb

# Events


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link to the cloud is up."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is down."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The cloud's announcements will come."""


@dataclass(frozen=True, slots=True)
class NotSubscribed:
    """They will not. `forbidden`: trying again on this connection is of no use."""

    problem: str
    forbidden: bool


@dataclass(frozen=True, slots=True)
class LocalChanged:
    """A change of the local document became durable."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """The request `number` had no reply. `unsent`: the cloud cannot have seen it."""

    number: int
    problem: str
    unsent: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """The store `number` is durable, or has failed."""

    number: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time of a Pause or a Hold is over."""


@dataclass(frozen=True, slots=True)
class Said:
    """The cloud said `what` under the shadow's prefix `suffix`."""

    suffix: str
    what: Announcement


Event = LinkUp | LinkDown | Subscribed | NotSubscribed | LocalChanged | NoReply | Stored | Elapsed | Said


# Actions


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to the shadow's topics."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send a request, and say NoReply when none came in time."""

    number: int
    verb: Verb
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Store:
    """Make it durable, together, and say Stored."""

    number: int
    adoption: Adoption


@dataclass(frozen=True, slots=True)
class Pause:
    """Say Elapsed after the delay of the `attempt`-th failure in a row."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Say Elapsed after `seconds`."""

    seconds: float


Action = Subscribe | Request | Store | Pause | Hold


@dataclass(frozen=True, slots=True)
class Local:
    """Our document: the newest, and the one on disk. `now`: epoch seconds."""

    newest: Document
    durable: Document
    now: int

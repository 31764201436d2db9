"""One request as the use cases see it, and what they give back."""

from __future__ import annotations

from libs.events.requests import Reply
from libs.kernel.values import dataclass
from services.gateway.app.positions import Marks
from services.gateway.domain.partner import Caller
from services.gateway.domain.refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who asks, and how long an answer may take.

    *marks* are the positions that the caller was told elsewhere (header ``OTA-Position``).
    Deadlines are seconds of the event loop's clock: a view is waited for until
    *view_deadline*, everything else until *deadline*.
    """

    caller: Caller
    request_id: str
    traceparent: str
    marks: Marks
    view_deadline: float
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A call that may have an effect: its command id, and the hash of what the client sent."""

    call: Call
    command_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a write came to: the answer's body or a refusal.

    *reply* is set when a deciding service answered, *resource_id* when something was made.
    """

    content: bytes | Refusal
    reply: Reply | None = None
    replayed: bool = False
    resource_id: str | None = None

"""One request on its way to an answer: what was learnt of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from aiohttp import web

from libs.events.requests import Reply
from libs.kernel.values import dataclass
from services.gateway.app.call import Outcome
from services.gateway.app.positions import NOTHING, Marks
from services.gateway.domain.audit import CallNote
from services.gateway.domain.partner import Caller
from services.gateway.domain.refusal import Refusal
from services.gateway.http.headers import LOCATION
from services.gateway.http.parameters import Parameters

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a use case came to, as HTTP has it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and what its answer must carry; *arrived* is the event loop's clock.

    *address* is the caller's, behind our own proxies too; *limits* are headers that say how
    much of its limit is left. *path_id* is what the path has in its variable part.
    """

    request: web.BaseRequest
    request_id: str
    traceparent: str
    arrived: float
    address: str
    parameters: Parameters
    path_id: str | None = None
    caller: Caller | None = None
    body: dict[str, object] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    marks: Marks = field(default_factory=lambda: NOTHING)
    reply: Reply | None = None
    replayed: bool = False
    command_id: str | None = None
    made_id: str | None = None
    limits: Mapping[str, str] | None = None

    @property
    def trace_id(self) -> str:
        """The trace that everything lies in that the request leads to."""
        return self.traceparent[3:35]

    @property
    def id_in_path(self) -> str:
        """The id that the path names."""
        assert self.path_id is not None
        return self.path_id

    def conclude(
        self, outcome: Outcome, *, status: int, location: str | None = None
    ) -> Answer | Refusal:
        """Take over what a write came to; *location* is the path that the made thing lies under."""
        self.reply = outcome.reply
        self.replayed = outcome.replayed
        self.made_id = outcome.resource_id
        if isinstance(outcome.content, Refusal):
            return outcome.content
        if location is None:
            return Answer(status, outcome.content)
        return Answer(status, outcome.content, {LOCATION: f"{location}/{outcome.resource_id}"})


def note_of(
    exchange: Exchange,
    *,
    route: str,
    status: int,
    word: str | None,
    at: datetime,
    duration_s: float,
) -> CallNote:
    """Return what the audit trail needs of an answered request; the request itself can go."""
    caller, reply, request = exchange.caller, exchange.reply, exchange.request
    position = None if reply is None else reply.position
    return CallNote(
        at,
        request.method,
        route,
        status,
        word,
        None if caller is None else caller.partner_id,
        None if caller is None else caller.key_id,
        exchange.request_id,
        exchange.traceparent,
        exchange.address,
        exchange.replayed,
        exchange.command_id,
        exchange.path_id,
        exchange.made_id,
        None if reply is None else reply.source,
        position,
        duration_s,
    )

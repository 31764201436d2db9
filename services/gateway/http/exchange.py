"""One request on its way to an answer: what was learnt of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from libs.events.requests import Reply
from services.gateway.app.call import Outcome
from services.gateway.app.positions import NOTHING, Marks
from services.gateway.domain.refusal import Refusal
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
    """A request and what its answer must carry; *arrived* is the event loop's clock."""

    request: web.Request
    request_id: str
    arrived: float
    parameters: Parameters
    body: dict[str, object] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    idempotency_key: str | None = None
    marks: Marks = field(default_factory=lambda: NOTHING)
    reply: Reply | None = None
    replayed: bool = False

    @property
    def id_in_path(self) -> str:
        """The id that the path names."""
        return self.request.match_info["id"]

    def conclude(
        self, outcome: Outcome, *, status: int, location: str | None = None
    ) -> Answer | Refusal:
        """Take over what a write came to; *location* is the path that the made thing lies under."""
        self.reply = outcome.reply
        self.replayed = outcome.replayed
        if isinstance(outcome.content, Refusal):
            return outcome.content
        if location is None:
            return Answer(status, outcome.content)
        return Answer(status, outcome.content, {"Location": f"{location}/{outcome.resource_id}"})

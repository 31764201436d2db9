"""One request and its answer as they travel, and how to watch them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it is sent, also when it is sent again: the bytes stay the same.

    *headers* hold the API key: whoever logs them leaves that out.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def idempotency_key(self) -> str | None:
        """The key under which a write may be repeated; None for a read."""
        return self.headers.get("Idempotency-Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it came; *elapsed_s* is the time that it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float

    @property
    def json(self) -> dict[str, Any]:
        """The body's object, empty if it has none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def code(self) -> str:
        """The error word of a refusal, such as ``SOLD_OUT``; empty for none."""
        return str(self.json.get("code", "")) if self.status >= 400 else ""

    @property
    def replayed(self) -> bool:
        """Whether this is the recorded answer to an earlier request with the same key."""
        return self.headers.get("Idempotent-Replayed") == "true"

    @property
    def request_id(self) -> str:
        """The id to name when you ask the operator about this call."""
        return self.headers.get("X-Request-Id", "")


class Watcher:
    """Sees every try of every call; override what you want to know. Must not raise or block."""

    def sending(self, request: Request) -> None:
        """A request is about to be sent, for the first time or again."""

    def answered(self, request: Request, answer: Answer) -> None:
        """A request was answered."""

    def waiting(self, request: Request, *, reason: str, pause_s: float) -> None:
        """A request will be sent again after *pause_s* seconds."""

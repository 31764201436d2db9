"""The access log: a line for each call, in the form of the other log lines.

Without personal data: no query string, no concrete path, no whole address. Lines of a batch
are put together here and written at once, because a logger call each would cost more than
the rest of the audit trail.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal, TextIO

import structlog
from pydantic_core import to_json

from libs.runtime.logs import scrub
from services.gateway.domain.audit import CallNote, method_of, shortened

Which = Literal["on", "refused", "off"]
EVENT = "gateway.call.answered"

log = structlog.get_logger()


class JsonLines:
    """Writes calls as JSON objects; see `services.gateway.app.audit.CallLines`.

    *which* calls: all (``on``), those that were refused, or none. Health checks that were
    answered well are never written: they come each second and say nothing.
    """

    def __init__(
        self, *, which: Which, service: str, version: str, stream: TextIO | None = None
    ) -> None:
        self._which = which
        self._stream = stream
        self._identity = {"service.name": service, "service.version": version}

    def write(self, notes: Sequence[CallNote]) -> None:
        """Write a line for each call that is wanted."""
        lines = []
        for note in notes:
            if wanted(note, self._which):
                fields = fields_of(note)
                fields.update(self._identity)
                lines.append(to_json(fields))
        if lines:
            stream = sys.stdout if self._stream is None else self._stream
            stream.write(b"\n".join(lines).decode() + "\n")
            stream.flush()


class ConsoleLines:
    """Writes calls for people, through the logger; see `JsonLines`."""

    def __init__(self, *, which: Which) -> None:
        self._which = which

    def write(self, notes: Sequence[CallNote]) -> None:
        """Write a line for each call that is wanted."""
        for note in notes:
            if wanted(note, self._which):
                fields = fields_of(note)
                log.info(**{name: fields[name] for name in fields if name not in _OWN})


_OWN = frozenset({"level", "timestamp"})
"""What the logger adds by itself."""


def wanted(note: CallNote, which: Which) -> bool:
    """Say whether a call has a line."""
    if note.status >= 400:
        return which != "off"
    return which == "on" and note.route != "/healthz"


def fields_of(note: CallNote) -> dict[str, object]:
    """Return the fields of a call's line, but for whose line it is."""
    fields: dict[str, object] = {
        "event": EVENT,
        "method": method_of(note),
        "route": note.route,
        "status": note.status,
        "duration_ms": round(note.duration_s * 1000, 1),
        "partner_id": note.partner_id,
        "key_id": note.key_id,
        "request_id": scrub(note.request_id),
        "trace_id": note.traceparent[3:35],
        "correlation_id": note.command_id,
        "address": shortened(note.address or ""),
        "level": "info",
        "timestamp": note.at,
    }
    if note.word is not None:
        fields["word"] = note.word
    if note.replayed:
        fields["replayed"] = True
    return fields

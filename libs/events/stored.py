"""Stored events: what is written beside an event's data, and how a row is read back."""

from __future__ import annotations

import json
from datetime import datetime

from pydantic_core import to_json

from libs.events.envelope import Actor, Envelope, Position
from libs.events.messages import MESSAGES


def meta_of(envelope: Envelope, *, epoch: int | None = None) -> str:
    """Return the JSON stored beside the data: cause, actor, trace, waiting gateway, epoch.

    The *epoch* of the writer is a column too; here the hash chain covers it.
    """
    actor = envelope.actor
    meta: dict[str, object] = {
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "partner_id": actor.partner_id if actor else None,
        "key_id": actor.key_id if actor else None,
        "request_id": actor.request_id if actor else None,
        "traceparent": envelope.traceparent,
        "fingerprint": envelope.fingerprint,
        "reply_to": envelope.reply_to,
    }
    if epoch is not None:
        meta["epoch"] = epoch
    return to_json(meta).decode()


def envelope_of(
    *,
    source: str,
    position: Position,
    type: str,
    version: int,
    decided_at: datetime,
    meta: str,
    data: str,
) -> Envelope:
    """Return the envelope of a stored event; raises Unreadable for a body of another shape."""
    found = json.loads(meta)
    actor = None
    if found["partner_id"] is not None:
        actor = Actor(
            partner_id=found["partner_id"],
            key_id=found["key_id"],
            request_id=found["request_id"],
        )
    return Envelope(
        id=position.event_id(),
        source=source,
        time=decided_at,
        data=MESSAGES.read(name=type, version=version, body=data),
        correlation_id=found["correlation_id"],
        causation_id=found["causation_id"],
        actor=actor,
        traceparent=found["traceparent"],
        fingerprint=found["fingerprint"],
        reply_to=found["reply_to"],
        position=position,
    )

"""Envelope <-> Kafka record, in CloudEvents 1.0 binary mode (``ce_*`` headers, JSON value)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import TypeAdapter

from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Actor, Envelope, Position
from libs.events.messages import MESSAGES
from libs.events.registry import Unreadable
from libs.kernel.values import dataclass

Headers = list[tuple[str, bytes]]

_FIGURES = TypeAdapter(PoolFigures)
_TYPE_HEADERS = {
    message.shape: (("ce_type", message.name.encode()), ("ce_dataversion", b"%d" % message.version))
    for message in MESSAGES
}
_NEVER = datetime.min.replace(tzinfo=UTC)
_SPEC = ("ce_specversion", b"1.0")
_CONTENT = ("content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Uninteresting:
    """Stands for data that the reader did not ask for and that was not parsed."""

    name: str


def encode(
    envelope: Envelope,
    *,
    figures: PoolFigures | None = None,
    evidence: str | None = None,
    body: bytes | None = None,
) -> tuple[Headers, bytes]:
    """Return headers and value of a record; *body* is the data where it is written already.

    *evidence* goes with an answer: it names the event that the command led to.
    """
    type_header, version_header = _TYPE_HEADERS[type(envelope.data)]
    headers: Headers = [
        _SPEC,
        ("ce_id", envelope.id.encode()),
        ("ce_source", b"/ota/" + envelope.source.encode()),
        type_header,
        version_header,
        _time_header(envelope.time),
        _CONTENT,
        ("ce_correlationid", envelope.correlation_id.encode()),
        ("ce_causationid", envelope.causation_id.encode()),
    ]
    actor = envelope.actor
    if actor is not None:
        headers.append(("ce_partnerid", actor.partner_id.encode()))
        headers.append(("ce_keyid", actor.key_id.encode()))
        headers.append(("ce_requestid", actor.request_id.encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    if envelope.fingerprint is not None:
        headers.append(("ce_fingerprint", envelope.fingerprint.encode()))
    if envelope.reply_to is not None:
        headers.append(("ce_replyto", b"%d" % envelope.reply_to))
    if envelope.position is not None:
        headers.append(("ce_position", envelope.position.event_id().encode()))
    if envelope.replayed:
        headers.append(("ce_replayed", b"1"))
    if figures is not None:
        headers.append(_figures_header(figures))
    if evidence is not None:
        headers.append(("ce_evidence", evidence.encode()))
    return headers, MESSAGES.write(envelope.data) if body is None else body


@lru_cache(maxsize=16)
def _time_header(time: datetime) -> tuple[str, bytes]:
    """What one batch leads to has one time."""
    return ("ce_time", time.isoformat().encode())


@lru_cache(maxsize=16)
def _figures_header(figures: PoolFigures) -> tuple[str, bytes]:
    """All answers of one batch tell the same of a pool."""
    return ("ce_figures", _FIGURES.dump_json(figures))


def record_id(headers: Iterable[tuple[str, bytes]]) -> str:
    """Return the CloudEvents id of a record, empty if it has none."""
    return next((value.decode(errors="replace") for name, value in headers if name == "ce_id"), "")


_NAMED_IN_LOGS = {
    "ce_id": "message_id",
    "ce_correlationid": "correlation_id",
    "ce_causationid": "causation_id",
    "ce_partnerid": "partner_id",
    "ce_requestid": "request_id",
}
_LOGGED_LENGTH_MAX = 128


def ids_of(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return by which ids a log line names a record, as far as it has them, whatever its bytes."""
    found = {name: value.decode(errors="replace") for name, value in headers if value}
    ids = {word: found[name] for name, word in _NAMED_IN_LOGS.items() if name in found}
    if "traceparent" in found:
        ids["trace_id"] = found["traceparent"][3:35]
    return {word: text[:_LOGGED_LENGTH_MAX] for word, text in ids.items()}


def decode(
    headers: Sequence[tuple[str, bytes]],
    value: bytes | None,
    *,
    interests: Collection[str] | None = None,
) -> Envelope:
    """Return the envelope of a record.

    Of message types outside *interests* only id and position are read, and the data is
    `Uninteresting`. Raises Unreadable; never anything else, whatever the bytes.
    """
    try:
        found = dict(headers)
        kind = found.get("ce_type", b"").decode()
        if interests is not None and kind and kind not in interests:
            return _skim(kind, found)
        version = int(found["ce_dataversion"])
        data = MESSAGES.read(name=kind, version=version, body=value or b"")
        traceparent = found.get("traceparent")
        fingerprint = found.get("ce_fingerprint")
        reply_to = found.get("ce_replyto")
        position = found.get("ce_position")
        return Envelope(
            id=found["ce_id"].decode(),
            source=source_of(found),
            time=_instant(found["ce_time"].decode()),
            data=data,
            correlation_id=found["ce_correlationid"].decode(),
            causation_id=found["ce_causationid"].decode(),
            actor=_actor(found),
            traceparent=traceparent.decode() if traceparent is not None else None,
            fingerprint=fingerprint.decode() if fingerprint is not None else None,
            reply_to=int(reply_to) if reply_to is not None else None,
            position=parse_position(position.decode()) if position is not None else None,
            replayed="ce_replayed" in found,
        )
    except Unreadable:
        raise
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise Unreadable(f"no message of ours: {type(error).__name__} {error}") from error


def _skim(kind: str, found: Mapping[str, bytes]) -> Envelope:
    """Return as much as a reader needs to count a record and forget it."""
    position = found.get("ce_position")
    return Envelope(
        id=found.get("ce_id", b"").decode(),
        source="",
        time=_NEVER,
        data=Uninteresting(kind),
        correlation_id="",
        causation_id="",
        position=parse_position(position.decode()) if position else None,
    )


def source_of(found: Mapping[str, bytes]) -> str:
    """Return whose record it is by its headers; raises KeyError."""
    return found["ce_source"].decode().removeprefix("/ota/")


def figures_of(found: Mapping[str, bytes]) -> PoolFigures | None:
    """Return the figures among an answer's headers, None if there are none."""
    raw = found.get("ce_figures")
    return _figures(raw) if raw is not None else None


@lru_cache(maxsize=16)
def _figures(raw: bytes) -> PoolFigures:
    return _FIGURES.validate_json(raw)


def parse_position(text: str) -> Position:
    """Return the position written as ``generation-partition-seq``; raises ValueError."""
    generation, partition, seq = text.split("-")
    return Position(int(generation), int(partition), int(seq))


def last_in_order(
    records: Iterable[Iterable[tuple[str, bytes]]], *, whole: bool
) -> Position | None:
    """Return the event up to which *records*, the end of a topic, have every event.

    What came after a gap does not count until the gap is filled. *whole* says that the
    records begin with the topic's first one, so that the first event must be among them.
    """
    last: Position | None = None
    for headers in records:
        text = next((value for name, value in headers if name == "ce_position"), None)
        if text is None:
            continue
        position = parse_position(text.decode())
        if last is None and whole and position.seq > 1:
            last = Position(position.generation, position.partition, 0)
        elif last is None or position.seq == last.seq + 1 or position.generation > last.generation:
            last = position
    return last


def _instant(text: str) -> datetime:
    """Times are compared with our clock, so one without a time zone is no message of ours."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return instant


def _actor(found: Mapping[str, bytes]) -> Actor | None:
    partner_id = found.get("ce_partnerid")
    if partner_id is None:
        return None
    return Actor(
        partner_id=partner_id.decode(),
        key_id=found["ce_keyid"].decode(),
        request_id=found["ce_requestid"].decode(),
    )

"""Messages survive the wire and the log, whatever is in them; other bytes are refused cleanly."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from libs.events import codec
from libs.events.codec import decode, encode
from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Actor, Envelope, Position
from libs.events.hashing import chain_hash
from libs.events.messages import MESSAGES
from libs.events.registry import Message, Unreadable
from libs.events.requests import read_reply
from libs.events.stored import envelope_of, meta_of
from tests.support import examples

repeatable = settings(derandomize=True, deadline=None, max_examples=100)

texts = st.text(max_size=12)
words = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12)
instants = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the zone is added by the strategy
    datetime(2199, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
days = st.dates(date(1970, 1, 1), date(2199, 12, 31))
numbers = st.integers(-(2**63), 2**63 - 1)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as the message classes use them."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: numbers,
        bool: st.booleans(),
        datetime: instants,
        date: days,
        type(None): st.none(),
    }
    if hint in simple:
        return simple[hint]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of([values_of(each) for each in get_args(hint)])
    if get_origin(hint) is tuple:
        element, dots = get_args(hint)
        assert dots is Ellipsis, hint
        return st.lists(values_of(element), max_size=3).map(tuple)
    assert isinstance(hint, type), f"no values for {hint}"
    assert dataclasses.is_dataclass(hint), f"no values for {hint}"
    fields = {name: values_of(each) for name, each in get_type_hints(hint).items()}
    return st.builds(hint, **fields)


positions = st.builds(
    Position,
    st.integers(0, 2**31),
    st.integers(0, 63),
    st.integers(0, 2**63 - 1),
)
actors = st.builds(Actor, partner_id=texts, key_id=texts, request_id=texts)
data = st.one_of([values_of(message.shape) for message in MESSAGES])
envelopes = st.builds(
    Envelope,
    id=texts,
    source=st.sampled_from(("inventory", "reservation", "fulfillment", "gateway")),
    time=instants,
    data=data,
    correlation_id=texts,
    causation_id=texts,
    actor=st.none() | actors,
    traceparent=st.none() | texts,
    fingerprint=st.none() | texts,
    reply_to=st.none() | st.integers(0, 7),
    position=st.none() | positions,
    replayed=st.booleans(),
)


@settings(repeatable, max_examples=400)
@given(envelope=envelopes)
def test_a_message_comes_back_as_it_was_sent(envelope: Envelope) -> None:
    """Every class, every attribute; written again, the record is the same bytes."""
    headers, value = encode(envelope)
    assert envelope == decode(headers, value)
    assert (headers, value) == encode(decode(headers, value))


@repeatable
@given(figures=values_of(PoolFigures))
def test_figures_come_back_as_they_were_sent(figures: PoolFigures) -> None:
    """They travel in a header beside any answer."""
    headers, _ = encode(examples.envelope_of(examples.HOLD_PLACED), figures=figures)
    assert figures == codec.figures_of(dict(headers))


@repeatable
@given(envelope=envelopes, position=positions)
def test_a_stored_event_comes_back_as_it_was_published(
    envelope: Envelope, position: Position
) -> None:
    """Row and record are two forms of one envelope; gaps are filled from rows."""
    published = dataclasses.replace(
        envelope, id=position.event_id(), position=position, replayed=False
    )
    message = MESSAGES.message_of(published.data)
    meta = meta_of(published)
    assert "\n" not in meta
    assert published == envelope_of(
        source=published.source,
        position=position,
        type=message.name,
        version=message.version,
        decided_at=published.time,
        meta=meta,
        data=MESSAGES.write(published.data).decode(),
    )


@repeatable
@given(envelope=envelopes)
def test_a_body_is_one_line(envelope: Envelope) -> None:
    """The hash chain joins fields by newlines, so that none may hide in the data."""
    assert b"\n" not in MESSAGES.write(envelope.data)


# What is no message of ours


json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
header_names = st.sampled_from(
    [name for name, _ in encode(examples.envelope_of(examples.CANCEL))[0]]
)
plausible = st.sampled_from(
    [value for each in examples.EXAMPLES for _, value in encode(examples.envelope_of(each))[0]]
)
noise = st.binary(max_size=12) | plausible | st.integers().map(lambda n: str(n).encode())


@st.composite
def damaged(draw: st.DrawFn) -> tuple[codec.Headers, bytes | None]:
    """A record of ours with something else in some headers and in its body."""
    headers, value = encode(examples.envelope_of(draw(st.sampled_from(examples.EXAMPLES))))
    changed = dict(headers)
    for name in draw(st.lists(header_names, max_size=3)):
        changed[name] = draw(noise)
    for name in draw(st.lists(header_names, max_size=1)):
        changed.pop(name, None)
    cut = draw(st.integers(0, len(value)))
    body = draw(
        st.just(value)
        | st.none()
        | st.just(value[:cut])
        | st.binary(max_size=40)
        | json_values.map(to_json)
    )
    return list(changed.items()), body


def readable_or_refused(headers: Sequence[tuple[str, bytes]], value: bytes | None) -> None:
    """Decode; anything but an envelope or Unreadable is an error, for answers too."""
    with suppress(Unreadable):
        read_reply(headers, value)
    try:
        envelope = decode(headers, value)
    except Unreadable:
        return
    assert envelope.time.tzinfo is not None
    MESSAGES.message_of(envelope.data)


@settings(repeatable, max_examples=600)
@given(record=damaged())
def test_a_damaged_record_is_read_or_refused(
    record: tuple[codec.Headers, bytes | None],
) -> None:
    """Nothing else is ever raised: a consumer survives whatever lies in a topic."""
    readable_or_refused(*record)


@repeatable
@given(
    headers=st.lists(st.tuples(header_names | texts, noise), max_size=14),
    value=st.none() | st.binary(max_size=60),
)
def test_any_record_is_read_or_refused(headers: codec.Headers, value: bytes | None) -> None:
    """Also one that was never ours."""
    readable_or_refused(headers, value)


@st.composite
def misshapen(draw: st.DrawFn) -> tuple[Message, object]:
    """A message's body with other JSON in one of its fields."""
    example = draw(st.sampled_from(examples.EXAMPLES))
    body = dataclasses.asdict(example)  # type: ignore[call-overload]
    body[draw(st.sampled_from(sorted(body)))] = draw(json_values)
    return MESSAGES.message_of(example), body


@settings(repeatable, max_examples=300)
@given(case=misshapen())
def test_a_misshapen_body_is_read_or_refused(case: tuple[Message, object]) -> None:
    """What passes is an object of the registered class."""
    message, body = case
    try:
        read = MESSAGES.read(name=message.name, version=message.version, body=to_json(body))
    except Unreadable:
        return
    assert type(read) is message.shape


# The hash chain

fields_of_a_row: dict[str, st.SearchStrategy[Any]] = {
    "previous": st.binary(min_size=32, max_size=32),
    "source": words,
    "position": positions,
    "type": words,
    "version": st.integers(1, 9),
    "subject": words,
    "decided_at": instants,
    "meta": words,
    "data": words,
}
rows = st.fixed_dictionaries(fields_of_a_row)


@settings(repeatable, max_examples=200)
@given(row=rows, other=rows, fields=st.sets(st.sampled_from(sorted(fields_of_a_row)), min_size=1))
def test_any_edit_of_a_row_changes_its_hash(
    row: dict[str, Any], other: dict[str, Any], fields: set[str]
) -> None:
    """One field or several, by anything; an edit that changes nothing changes no hash."""
    edited = {**row, **{name: other[name] for name in fields}}
    assert (row == edited) == (chain_hash(**row) == chain_hash(**edited))


@repeatable
@given(history=st.lists(rows, min_size=2, max_size=6), data=st.data())
def test_any_edit_of_a_chain_shows_at_its_end(
    history: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Changing, dropping or swapping rows gives another head."""

    def head(rows: Sequence[dict[str, Any]]) -> bytes:
        hash = bytes(32)
        for row in rows:
            hash = chain_hash(**{**row, "previous": hash})
        return hash

    numbered = [{**row, "position": Position(1, 0, seq)} for seq, row in enumerate(history, 1)]
    at = data.draw(st.integers(0, len(numbered) - 1))
    dropped = numbered[:at] + numbered[at + 1 :]
    swapped = [*dropped, numbered[at]] if at < len(numbered) - 1 else numbered[::-1]
    edited = list(numbered)
    edited[at] = {**edited[at], "data": edited[at]["data"] + " "}
    assert head(numbered) not in {head(dropped), head(swapped), head(edited)}

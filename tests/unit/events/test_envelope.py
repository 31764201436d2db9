"""Envelopes and positions: what a reaction inherits, and how events are ordered."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

from libs.events.envelope import Envelope, Position
from libs.events.messages import MESSAGES
from libs.events.stored import envelope_of, meta_of
from tests.support import examples

CAUSE = replace(
    examples.envelope_of(examples.PLACE_HOLD), correlation_id="first", causation_id="before"
)


def test_a_reaction_keeps_who_and_why() -> None:
    """Correlation, actor, trace, fingerprint and waiting gateway stay; the cause is the message."""
    reaction = CAUSE.follow(
        id="1-0-11",
        source="inventory",
        time=examples.NOW,
        data=examples.UNITS_HELD,
        position=examples.POSITION,
    )
    expected = Envelope(
        id="1-0-11",
        source="inventory",
        time=examples.NOW,
        data=examples.UNITS_HELD,
        correlation_id="first",
        causation_id=examples.PLACE_ID,
        actor=examples.ACTOR,
        traceparent=examples.TRACEPARENT,
        fingerprint=examples.FINGERPRINT,
        reply_to=2,
        position=examples.POSITION,
        replayed=False,
    )
    assert expected == reaction


def test_position_and_replay_are_not_inherited() -> None:
    """They belong to one message only."""
    answer = replace(CAUSE, position=examples.POSITION, replayed=True)
    reaction = answer.follow(id="x", source="y", time=examples.NOW, data=None)
    assert (None, False) == (reaction.position, reaction.replayed)


def test_a_chain_of_reactions_keeps_the_first_cause() -> None:
    """Correlation is the command that started it all, causation the step before."""
    envelope = CAUSE
    for step in range(3):
        envelope = envelope.follow(id=f"step-{step}", source="demo", time=examples.NOW, data=None)
    assert ("first", "step-1") == (envelope.correlation_id, envelope.causation_id)


def test_positions_are_ordered_by_generation_first() -> None:
    """What follows a restore is newer than anything before it."""
    assert Position(1, 0, 999) < Position(2, 0, 1) < Position(2, 0, 2)
    assert "2-0-1" == Position(2, 0, 1).event_id()


def test_a_stored_event_is_read_back_as_it_was_published() -> None:
    """The row's columns and its meta together are the whole envelope."""
    for actor in (examples.ACTOR, None):
        published = replace(examples.envelope_of(examples.UNITS_HELD), actor=actor, reply_to=None)
        assert examples.POSITION == published.position
        stored = envelope_of(
            source=published.source,
            position=examples.POSITION,
            type="ota.inventory.units_held",
            version=2,
            decided_at=published.time,
            meta=meta_of(published),
            data=MESSAGES.write(examples.UNITS_HELD).decode(),
        )
        assert published == stored


def test_meta_is_one_line_of_json() -> None:
    """The hash chain joins fields by newlines."""
    envelope = replace(CAUSE, traceparent="a\nb")
    assert "\n" not in meta_of(envelope)


def test_nothing_but_data_and_place_is_left_out_of_meta() -> None:
    """A field that is added to the envelope must be stored too, or be derived."""
    derived = {"id", "source", "time", "data", "position", "replayed"}
    stored = {"correlation_id", "causation_id", "actor", "traceparent", "fingerprint", "reply_to"}
    assert derived | stored == {field.name for field in fields(Envelope)}
    later = replace(CAUSE, time=CAUSE.time + timedelta(hours=1), id="other", source="other")
    assert meta_of(CAUSE) == meta_of(later)

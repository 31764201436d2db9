"""One batch being decided: answers are recorded once and given again, events form a chain.

The ledger and the reservation service stand for any deciding service.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from libs.events.behaviour import Behaviour
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.inventory import HoldRefused
from libs.events.contracts.reservation import AnswerRequested, CompletedDownstream
from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS, chain_hash, evidence_of
from libs.events.messages import MESSAGES
from libs.events.ports import AnswerRow, Head
from libs.events.stage import (
    RECENT_ANSWERS_MAX,
    PlannedReply,
    PlannedSignal,
    RecentAnswers,
    Stage,
    Undecidable,
    asker_of,
)
from libs.events.stored import envelope_of
from libs.kernel.state import State
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.domain.ledger import Hold, Pool
from services.reservation.app.behaviour import ReservationBehaviour
from tests.support import examples
from tests.support.catalogues import KeptCatalogues

NOW = examples.HELD_AT


class Silent:
    """A watch that nobody looks at, and a look-up that is never asked."""

    def stock(self, pool: Pool) -> None:
        """See `StockWatch`."""

    def conflict(self, found: object) -> None:
        """See `StockWatch`."""


def stage_of(behaviour: Behaviour, state: State, *recent: AnswerRow) -> Stage:
    """Return a stage at the beginning of a log."""
    answers = RecentAnswers()
    for row in recent:
        answers.add(row)
    head = Head(
        partition=0,
        epoch=1,
        generation=1,
        seq=0,
        decided_at=NOW,
        hash=GENESIS,
        inputs={},
    )
    return Stage(behaviour, state, answers, head)


def ledger(*recent: AnswerRow) -> Stage:
    """Return a stage of the ledger with one pool of 5 units."""
    state = State(partition=0)
    state.load(replace(examples.POOL, allotted=5, held=0))
    return stage_of(InventoryBehaviour(watch=Silent()), state, *recent)


def reservations(*, status: str = "active", ended_by: str | None = None) -> Stage:
    """Return a stage of the reservation service with the example hold at hand."""
    state = State(partition=0)
    state.load(replace(examples.RESERVATION, status=status, ended_by=ended_by))  # type: ignore[arg-type]
    silent: object = Silent()
    catalogues = KeptCatalogues()
    catalogues.read_versions.append(examples.CATALOGUE.version)
    behaviour = ReservationBehaviour(
        numbers=examples.NUMBERS,
        lookup=silent,  # type: ignore[arg-type]
        catalogues=catalogues,
        watch=silent,  # type: ignore[arg-type]
    )
    return stage_of(behaviour, state)


def command(data: object, *, id: str = "command-1", fingerprint: str = "f-1") -> Envelope:
    """Return a command as a gateway sends it."""
    return replace(
        examples.envelope_of(data), id=id, correlation_id=id, fingerprint=fingerprint, reply_to=2
    )


def place(number: int, *, quantity: int = 3, fingerprint: str = "f-1") -> Envelope:
    """Return a command to hold units; its id and reservation have the number."""
    data = replace(examples.PLACE_HOLD, reservation_id=f"res_{number}", quantity=quantity)
    return command(data, id=f"command-{number}", fingerprint=fingerprint)


def row(
    answer: object,
    *,
    command_id: str = "command-1",
    fingerprint: str = "f-1",
    evidence: str | None = None,
) -> AnswerRow:
    """Return an answer as it is recorded."""
    entry = MESSAGES.message_of(answer)
    return AnswerRow(
        command_id=command_id,
        fingerprint=fingerprint,
        type=entry.name,
        version=entry.version,
        answer=MESSAGES.write(answer).decode(),
        reply_to=2,
        evidence=evidence,
    )


def evidence(stage: Stage) -> str:
    """Return the evidence of the last event."""
    return evidence_of(Position(1, 0, stage.seq), stage.hash)


def test_a_decided_command_is_recorded_with_its_effect() -> None:
    """Event, answer and reply belong to one write."""
    stage, message = ledger(), place(1)
    stage.decide_all([message], NOW)
    placed = replace(examples.HOLD_PLACED, reservation_id="res_1")
    named = evidence(stage)
    assert {"command-1": row(placed, evidence=named)} == stage.answers
    body = MESSAGES.write(placed)
    reply = PlannedReply(message, placed, replayed=False, evidence=named, body=body)
    assert [reply] == stage.replies
    assert ["ota.inventory.units_held"] == [event.type for event in stage.rows]
    assert stage.changes
    assert 0 == stage.replayed


def test_a_repeat_gets_the_evidence_of_the_first() -> None:
    """In the same batch, and from the record; a refusal came of no event and has none."""
    stage, message = ledger(), place(1)
    stage.decide_all([message, message, place(2, quantity=99)], NOW)
    named = evidence(stage)
    assert [named, named, None] == [reply.evidence for reply in stage.replies]
    later = ledger(*stage.answers.values())
    later.decide_all([message, place(2, quantity=99)], NOW)
    assert [named, None] == [reply.evidence for reply in later.replies]


def test_an_event_carries_the_epoch_of_its_writer_in_what_is_hashed() -> None:
    """The column can be compared with it."""
    stage = ledger()
    stage.decide_all([place(1)], NOW)
    assert stage.before.epoch == json.loads(stage.rows[0].meta)["epoch"]


def test_a_repeat_in_the_same_batch_gets_the_answer_of_the_first() -> None:
    """Its effect is not there twice; it is marked as replayed."""
    stage = ledger()
    stage.decide_all([place(1), place(1)], NOW)
    first, second = stage.replies
    assert (first.answer, False) == (second.answer, first.replayed)
    assert second.replayed
    assert (1, 1) == (len(stage.rows), stage.replayed)


def test_a_repeat_gets_its_recorded_answer_whatever_is_true_now() -> None:
    """Even a refusal: to try again, the client uses a new key."""
    refused = HoldRefused(reason="sold_out", available=0)
    stage, message = ledger(row(refused)), place(1)
    stage.decide_all([message], NOW)
    assert [PlannedReply(message, refused, replayed=True)] == stage.replies
    assert not stage.changes
    assert not stage.empty


def test_a_key_that_was_used_for_another_request_is_refused() -> None:
    """Nothing is done, and the refusal is not marked as a replay."""
    stage = ledger(row(examples.HOLD_PLACED, fingerprint="f-other"))
    message = place(1)
    stage.decide_all([message], NOW)
    expected = PlannedReply(message, KeyReused(command_id="command-1"), replayed=False)
    assert [expected] == stage.replies
    assert not stage.changes


def test_commands_of_a_batch_see_what_the_ones_before_have_done() -> None:
    """Five units are not held twice because two wishes came together."""
    stage = ledger()
    stage.decide_all([place(1), place(2), place(3, quantity=2)], NOW)
    answers = [type(planned.answer).__name__ for planned in stage.replies]
    assert ["HoldPlaced", "HoldRefused", "HoldPlaced"] == answers
    assert ["command-1", "command-2", "command-3"] == list(stage.answers)


def test_what_is_not_recorded_is_marked_and_decided_anew() -> None:
    """Before it is given, it must be sure that nothing else was recorded earlier."""
    stage = ledger()
    message = command(replace(examples.PLACE_HOLD, expires_at=NOW))
    refused = HoldRefused(reason="expiry_in_the_past", available=5)
    stage.decide_all([message, message], NOW)
    planned = PlannedReply(message, refused, replayed=False, unrecorded=True)
    assert [planned, planned] == stage.replies
    assert {} == stage.answers
    assert not stage.changes


def test_a_command_that_nobody_waits_for_is_recorded_but_not_answered() -> None:
    """Neither the first time nor again."""
    stage, message = ledger(), replace(place(1), reply_to=None)
    stage.decide_all([message, message], NOW)
    assert ["command-1"] == list(stage.answers)
    assert [] == stage.replies


def test_an_event_is_decided_although_its_command_is_answered_here_already() -> None:
    """Events have a position and come once; only what has none is a repeat."""
    stage = ledger(row(examples.HOLD_PLACED, command_id="command-9"))
    stage.state.load(examples.HOLD)
    stage.state.load(replace(examples.POOL, allotted=5))
    event = replace(
        examples.envelope_of(examples.RESERVATION_ACTIVATED), correlation_id="command-9"
    )
    stage.decide_all([event], NOW)
    assert ["ota.inventory.units_sold"] == [stored.type for stored in stage.rows]


# Answers that another service completes


def test_an_answer_that_is_completed_downstream_is_recorded_and_not_given() -> None:
    """The event itself makes the next service answer."""
    stage = reservations()
    stage.decide_all([command(examples.ACTIVATE)], NOW)
    completed = CompletedDownstream(command_id="command-1")
    assert {"command-1": row(completed, evidence=evidence(stage))} == stage.answers
    assert ([], []) == (stage.replies, stage.signals)


def test_its_repeat_asks_the_completing_service_to_answer_again() -> None:
    """In the same batch as well, and as a replay."""
    stage, message = reservations(), command(examples.ACTIVATE)
    stage.decide_all([message, message], NOW)
    signal = AnswerRequested(command_id="command-1")
    assert [PlannedSignal(message, signal, replayed=True)] == stage.signals
    assert (1, [], 1) == (len(stage.rows), stage.replies, stage.replayed)


def test_cancelling_again_asks_for_the_answer_of_the_first_cancellation() -> None:
    """Another key: recorded for itself, completed by what the first one led to, no replay."""
    stage = reservations(status="cancelled", ended_by="command-0")
    message = command(examples.CANCEL)
    stage.decide_all([message], NOW)
    signal = AnswerRequested(command_id="command-0")
    assert [PlannedSignal(message, signal, replayed=False)] == stage.signals
    assert {"command-1": row(CompletedDownstream(command_id="command-0"))} == stage.answers
    assert [] == stage.rows


@pytest.mark.parametrize("replayed", [False, True])
def test_a_requested_answer_is_given_to_whoever_asks_now(replayed: bool) -> None:
    """Whether it counts as a replay is known to the service that was asked first."""
    stage = ledger(row(examples.HOLD_RELEASED, fingerprint="f-other"))
    message = replace(
        command(AnswerRequested(command_id="command-1"), id="command-2"), replayed=replayed
    )
    stage.decide_all([message], NOW)
    assert [PlannedReply(message, examples.HOLD_RELEASED, replayed=replayed)] == stage.replies


def test_a_requested_answer_that_is_not_there_is_not_made_up() -> None:
    """Its asker learns by trying again."""
    stage = ledger()
    stage.decide_all([command(AnswerRequested(command_id="command-1"))], NOW)
    assert stage.empty


def test_a_new_owner_can_answer_whoever_asked_first() -> None:
    """The recorded row says where that one waits."""
    recorded = row(examples.HOLD_RELEASED)
    stage = ledger()
    asker = asker_of(recorded, stage.before)
    stage.answer_again(asker, recorded, replayed=False)
    assert [PlannedReply(asker, examples.HOLD_RELEASED, replayed=False)] == stage.replies
    assert ("command-1", 2) == (asker.correlation_id, asker.reply_to)


# Events


def test_events_follow_their_messages_in_a_gapless_chain() -> None:
    """Positions count up, causes are kept, and every hash covers the one before."""
    stage = ledger()
    messages = [place(1), place(2, quantity=1), place(3, quantity=1)]
    stage.decide_all(messages, NOW)
    previous = GENESIS
    for seq, (message, stored) in enumerate(zip(messages, stage.rows, strict=True), 1):
        position = Position(1, 0, seq)
        assert (seq, previous) == (stored.seq, stored.previous_hash)
        previous = chain_hash(
            previous=previous,
            source="inventory",
            position=position,
            type=stored.type,
            version=stored.version,
            subject=f"res_{seq}",
            decided_at=NOW,
            meta=stored.meta,
            data=stored.data,
        )
        assert previous == stored.hash
        envelope, body = stage.events[seq - 1]
        assert (message.id, message.id) == (envelope.causation_id, envelope.correlation_id)
        assert body.decode() == stored.data
        assert envelope == envelope_of(
            source="inventory",
            position=position,
            type=stored.type,
            version=stored.version,
            decided_at=NOW,
            meta=stored.meta,
            data=stored.data,
        )
    assert (3, previous) == (stage.seq, stage.hash)


@pytest.mark.parametrize(
    "data, subject",
    [
        (replace(examples.SET_ALLOTMENT, units=9), "pool-1"),
        (examples.PUBLISH_CATALOGUE, "catalogue"),
        (examples.PLACE_HOLD, examples.RESERVATION_ID),
    ],
)
def test_an_event_is_found_by_what_it_is_about(data: object, subject: str) -> None:
    """Its reservation, else its pool, else the catalogue."""
    stage = ledger()
    stage.decide_all([command(data)], NOW)
    assert [subject] == [stored.subject for stored in stage.rows]


def test_what_can_not_be_decided_is_named_and_leaves_nothing_behind() -> None:
    """The loop parks that message and decides the others anew."""
    stage = ledger()
    poison = place(2, quantity=0)
    with pytest.raises(Undecidable, match=r"PlaceHold command-2: ValueError") as raised:
        stage.decide_all([place(1), poison, place(3)], NOW)
    assert poison is raised.value.message
    stage.state.rollback()
    assert stage.state.get(Hold, "res_1") is None
    assert 0 == stage.before.seq


# Recorded answers at hand


def test_the_oldest_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are still in the database; memory stays bounded."""
    assert RECENT_ANSWERS_MAX <= 100_000
    monkeypatch.setattr("libs.events.stage.RECENT_ANSWERS_MAX", 2)
    answers = RecentAnswers()
    for number in range(3):
        answers.add(row(examples.HOLD_RELEASED, command_id=f"command-{number}"))
    assert answers.get("command-0") is None
    assert answers.get("command-1") is not None
    assert answers.get("command-2") is not None

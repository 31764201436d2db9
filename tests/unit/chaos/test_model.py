"""The model client: it complains about answers that cannot both be true, and about nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.model import Answer, Hold, Model

END_S = 1_800_000_000.0
ASKED = {"product_id": 106, "quantity": 2}
TICKETS = [{"ticket_code": "T-1", "qr_code": "data:1"}, {"ticket_code": "T-2", "qr_code": "data:2"}]


def refusal(word: str, *, at_s: float = END_S + 1, status: int = 409) -> Answer:
    """Return a problem document."""
    return Answer(status=status, body={"code": word}, at_s=at_s)


def order(name: str = "ORD-1", tickets: list[dict[str, str]] = TICKETS) -> Answer:
    """Return a confirmed order."""
    return Answer(status=201, body={"order_id": name, "tickets": tickets}, at_s=END_S - 1)


@pytest.fixture
def model() -> Model:
    """A model that knows nothing yet."""
    return Model()


def held(model: Model, **other: Any) -> Hold:
    """Let a partner be promised a hold."""
    body = {
        **ASKED,
        "reservation_id": "res_1",
        "expires_at": "2027-01-15T08:00:00Z",
        **other,
    }
    hold = model.reserved(partner="p", asked=ASKED, answer=Answer(status=201, body=body))
    assert hold is not None
    return hold


def test_a_hold_becomes_an_order(model: Model) -> None:
    """A life as it should be gives no complaint, also when every answer comes twice."""
    hold = held(model)
    assert held(model) is hold
    assert END_S == hold.expires_at_s
    for _ in range(2):
        model.activated(hold, order())
    model.activated(hold, refusal("ALREADY_ACTIVATED"))
    model.cancelled(hold, refusal("CANNOT_CANCEL_ACTIVATED"))
    assert ("activated", "ORD-1", ("T-1", "T-2")) == (hold.state, hold.order_id, hold.tickets)
    assert [] == model.complaints


@pytest.mark.parametrize(
    "answer",
    [
        refusal("RESERVATION_EXPIRED"),
        refusal("RESERVATION_CANCELLED"),
        refusal("RESERVATION_NOT_FOUND", status=404),
        order("ORD-2"),
        order(tickets=TICKETS[:1]),
    ],
)
def test_a_sold_hold_stays_sold(model: Model, answer: Answer) -> None:
    """Whatever else is said of it afterwards is wrong."""
    hold = held(model)
    model.activated(hold, order())
    model.activated(hold, answer)
    assert 0 < len(model.complaints)


def test_a_hold_is_not_over_before_its_end(model: Model) -> None:
    """An expiry is believed at the end, and a fraction of a second before it, no earlier."""
    model.activated(held(model), refusal("RESERVATION_EXPIRED", at_s=END_S - 0.01))
    assert [] == model.complaints
    early = held(model, reservation_id="res_2")
    model.activated(early, refusal("RESERVATION_EXPIRED", at_s=END_S - 0.2))
    assert 1 == len(model.complaints)


def test_the_wrong_quantity_is_seen(model: Model) -> None:
    """A promise is of what was asked."""
    held(model, quantity=3)
    assert 1 == len(model.complaints)


def test_what_is_not_known_says_nothing(model: Model) -> None:
    """No answer, 504 and 503 change nothing and contradict nothing."""
    hold = held(model)
    model.activated(hold, order())
    for answer in (
        Answer(status=None),
        refusal("OUTCOME_UNKNOWN", status=504),
        refusal("NOT_EXECUTED", status=503),
        refusal("IDEMPOTENCY_IN_PROGRESS"),
    ):
        model.activated(hold, answer)
        model.repeated(order(), answer, what="x")
        model.reused(order(), answer, what="x")
    assert [] == model.complaints
    assert 0 == model.counts["repeats"]


def test_a_repeat_gets_the_same_answer(model: Model) -> None:
    """Images may differ between repeats, nothing else."""
    other_image = [{**each, "qr_code": "data:9"} for each in TICKETS]
    model.repeated(order(), order(tickets=other_image), what="x")
    assert [] == model.complaints
    model.repeated(order(), order("ORD-2"), what="x")
    model.repeated(order(), refusal("SOLD_OUT"), what="x")
    assert 2 == len(model.complaints)


def test_another_body_under_a_key_is_refused(model: Model) -> None:
    """422 and the right word; anything that was carried out is wrong."""
    model.reused(order(), refusal("IDEMPOTENCY_KEY_REUSED", status=422), what="x")
    assert [] == model.complaints
    model.reused(order(), order("ORD-2"), what="x")
    assert 1 == len(model.complaints)


@pytest.mark.parametrize("status", [408, 429, 503])
def test_what_never_arrived_was_not_carried_out(status: int) -> None:
    """The key is free after it."""
    assert Answer(status=status).not_done

"""Giving back a partner's holds: each once, what had ended is counted, what fails is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from libs.events.contracts.inventory import HoldReleased
from libs.events.contracts.reservation import CancelReservation, ReservationRefused
from libs.events.envelope import Position
from libs.events.kafka.operator import Unanswered
from libs.events.requests import Reply, Request
from services.gateway.admin.releasing import Released, release_holds
from services.gateway.store.stock_views import OpenHold
from tests.support import examples

PARTNER = "harbour"


def hold(number: int, *, quantity: int = 2) -> OpenHold:
    """Return an open hold."""
    return OpenHold(reservation_id=f"res_{number}", partition=number % 4, quantity=quantity)


class Service:
    """The reservation service and the view of open holds; *answers* are those other than yes."""

    def __init__(self, *holds: OpenHold) -> None:
        self.open = list(holds)
        self.arriving: list[OpenHold] = []
        self.answers: dict[str, object] = {}
        self.sent: list[Request] = []
        self.away_after: int | None = None

    async def open_holds(self) -> Sequence[OpenHold]:
        """Return what is open now; then what was on its way arrives."""
        found = list(self.open)
        self.open, self.arriving = self.open + self.arriving, []
        return found

    async def insist(self, request: Request) -> Reply:
        """See `services.gateway.admin.releasing.Commands`."""
        if self.away_after is not None and len(self.sent) >= self.away_after:
            raise Unanswered(request.command_id)
        self.sent.append(request)
        command = request.data
        assert isinstance(command, CancelReservation)
        answer = self.answers.get(command.reservation_id)
        if answer is None:
            self.open = [h for h in self.open if h.reservation_id != command.reservation_id]
            answer = HoldReleased(reservation_id=command.reservation_id)
        return Reply(answer=answer, replayed=False, source="inventory", position=Position(1, 0, 1))


async def release(service: Service, shown: list[int] | None = None) -> Released:
    """Give back the partner's holds as the night shift."""
    return await release_holds(
        commands=service,
        partner_id=PARTNER,
        name="night shift",
        open_holds=service.open_holds,
        progress=lambda released: (shown if shown is not None else []).append(released.done),
    )


async def test_all_holds_are_cancelled_by_the_operator_for_the_partner() -> None:
    """In their partitions, under ids that a repeat has again, with the operator's name."""
    shown: list[int] = []
    service = Service(*(hold(number) for number in range(1_200)))
    released = await release(service, shown)
    assert Released(found=1_200, holds=1_200, units=2_400) == released
    assert list(range(1, 1_201)) == shown
    first = service.sent[0]
    assert CancelReservation(reservation_id="res_0", partner_id=PARTNER) == first.data
    assert ("operator", "night shift") == (first.actor.partner_id, first.actor.key_id)
    assert {request.partition for request in service.sent} == {0, 1, 2, 3}
    assert 1_200 == len({request.command_id for request in service.sent})
    again = Service(hold(0))
    await release(again)
    assert first.command_id == again.sent[0].command_id


async def test_holds_that_were_on_their_way_are_found() -> None:
    """It looks again until nothing new is there."""
    service = Service(hold(1))
    service.arriving = [hold(2, quantity=5)]
    assert Released(found=2, holds=2, units=7) == await release(service)


async def test_what_ended_meanwhile_and_what_fails_is_counted() -> None:
    """Sold or run out is no failure; anything else is left, and not tried for ever."""
    service = Service(hold(1), hold(2), hold(3), hold(4))
    refused = examples.RESERVATION_REFUSED
    service.answers = {
        "res_1": replace(refused, reason="cannot_cancel_activated"),
        "res_2": replace(refused, reason="reservation_expired"),
        "res_3": ReservationRefused(reason="reservation_not_found", reservation_id="res_3"),
    }
    expected = Released(found=4, holds=1, units=2, ended=2, left=1)
    assert expected == await release(service)
    assert 4 == len(service.sent)


async def test_a_service_that_does_not_answer_ends_it_and_the_next_run_goes_on() -> None:
    """The failure comes out as it is; what was given back stays given back."""
    service = Service(*(hold(number) for number in range(100)))
    service.away_after = 30
    with pytest.raises(Unanswered):
        await release(service)
    service.away_after = None
    assert 70 == (await release(service)).holds


async def test_nothing_open_is_nothing_done() -> None:
    """A repeat is harmless."""
    service = Service()
    assert Released() == await release(service)
    assert [] == service.sent

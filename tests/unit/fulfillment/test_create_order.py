"""Creating an order: one ticket for each unit, numbers from counters, what was sold then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from libs.events.contracts.fulfillment import IssuedTicket, OrderCreated
from libs.kernel.catalogue import Entitlement
from services.fulfillment.domain.order import Numbering, Order, Ticket
from tests.support import examples
from tests.support.given import ORDERS, Orders, Story, given, readable_token

ACTIVATED = examples.RESERVATION_ACTIVATED


def created(story: Story) -> OrderCreated:
    """Return the order that was just created."""
    (event,) = story.decisions[-1].events
    assert isinstance(event, OrderCreated)
    return event


def issued(position: int, customer_type: str, *, counter: int | None = None) -> IssuedTicket:
    """Return the ticket that the example order has at a position."""
    ticket_code = examples.NUMBERS.ticket_code(
        prefix=examples.TICKET_PREFIX,
        partition=examples.PARTITION,
        counter=position if counter is None else counter,
    )
    return IssuedTicket(
        ticket_code=ticket_code,
        qr_token=readable_token(
            ticket_code=ticket_code,
            product_id=106,
            visit_date=examples.WEEKEND,
            day_class="weekend",
            customer_type=customer_type,
        ),
        customer_type=customer_type,
    )


TICKETS = (issued(0, "adult"), issued(1, "child"), issued(2, "adult"))
CREATED = replace(examples.ORDER_CREATED, tickets=TICKETS)
CONFIRMED = replace(examples.ORDER_CONFIRMED, tickets=TICKETS)


def test_an_activation_becomes_one_order_with_its_tickets() -> None:
    """The order repeats what was sold; its answer is recorded for repeats."""
    story = given(ORDERS).when(ACTIVATED).then(CREATED, answer=CONFIRMED, recorded=True)
    assert [examples.ORDER] == story.in_last_write(Order)
    assert [
        Ticket(
            ticket_code=ticket.ticket_code,
            order_id=examples.ORDER_ID,
            position=position,
            qr_token=ticket.qr_token,
            customer_type=ticket.customer_type,
            status="ACTIVE",
        )
        for position, ticket in enumerate(TICKETS)
    ] == story.in_last_write(Ticket)


@pytest.mark.parametrize("quantity", [1, 2, 100])
def test_there_is_one_ticket_for_each_unit(quantity: int) -> None:
    """In the order of the customer types, each with a code of its own."""
    types = tuple(("adult", "child", "elderly")[number % 3] for number in range(quantity))
    event = created(given(ORDERS).when(replace(ACTIVATED, quantity=quantity, customer_types=types)))
    assert types == tuple(ticket.customer_type for ticket in event.tickets)
    assert quantity == len({ticket.ticket_code for ticket in event.tickets})
    assert quantity == len({ticket.qr_token for ticket in event.tickets})


def test_counters_go_on_from_order_to_order() -> None:
    """No code is given twice in a partition, and the counters say how many were given."""
    story = given(ORDERS)
    codes: list[str] = []
    confirmations: list[str] = []
    for number in range(5):
        order = replace(ACTIVATED, order_id=f"ORD-{number:013d}", reservation_id=f"res_{number}")
        event = created(story.when(order))
        codes += [ticket.ticket_code for ticket in event.tickets]
        confirmations.append(event.confirmation_code)
    assert 15 == len(set(codes)) == len(codes)
    assert 5 == len(set(confirmations))
    expected = [issued(0, "adult", counter=counter).ticket_code for counter in range(15)]
    assert expected == codes
    assert Numbering(name="partition-0", orders=5, tickets=15) == story.entity(
        Numbering, "partition-0"
    )


def test_codes_of_partitions_differ() -> None:
    """The partition is part of every number."""
    events = [created(given(ORDERS, partition=each).when(ACTIVATED)) for each in range(4)]
    assert 4 == len({event.confirmation_code for event in events})
    assert 12 == len({ticket.ticket_code for event in events for ticket in event.tickets})


def test_deciding_is_a_pure_function() -> None:
    """The same activation in the same state gives the same codes and tokens, whenever."""
    first = given(ORDERS).when(ACTIVATED)
    later = given(ORDERS).when(ACTIVATED, at=examples.NOW + timedelta(hours=1))
    assert created(first) == created(later)


def test_only_the_answer_tells_the_time() -> None:
    """The order was created when it was decided."""
    at = examples.NOW + timedelta(hours=1)
    story = given(ORDERS).when(ACTIVATED, at=at)
    story.then(CREATED, answer=replace(CONFIRMED, created_at=at), recorded=True)
    assert [replace(examples.ORDER, created_at=at)] == story.in_last_write(Order)


def test_entitlements_and_prefix_are_those_of_the_catalogue_it_was_sold_by() -> None:
    """A later catalogue changes nothing about what was bought."""
    tea = (Entitlement(function_code="tea_set", function_name="Tea set for two", max_uses=1),)
    product = replace(examples.PRODUCT, entitlements=tea, ticket_prefix="PARK-2025")
    other = Orders(replace(examples.CATALOGUE, version=8, products=(product,)))
    event = created(given(other).when(ACTIVATED))
    assert tea == event.entitlements
    assert all(ticket.ticket_code.startswith("PARK-2025-") for ticket in event.tickets)
    assert examples.ENTITLEMENTS == created(given(ORDERS).when(ACTIVATED)).entitlements


def test_an_open_dated_order_stays_open_dated() -> None:
    """Without a visit date the tickets carry the kind of day that was paid for."""
    event = created(given(ORDERS).when(replace(ACTIVATED, visit_date=None, day_class="weekday")))
    assert (None, "weekday") == (event.visit_date, event.day_class)
    assert all("|None|weekday|" in ticket.qr_token for ticket in event.tickets)


def test_prices_are_never_computed_again() -> None:
    """Lines and total are taken over as they were sold, whatever they are."""
    odd = replace(ACTIVATED, lines=(), total_minor=1, currency="XTS", rule_version=3)
    event = created(given(ORDERS).when(odd))
    assert ((), 1, "XTS", 3) == (
        event.lines,
        event.total_minor,
        event.currency,
        event.rule_version,
    )


def test_orders_and_tickets_are_not_kept_in_memory() -> None:
    """Only the counters are needed to decide about the next order."""
    story = given(ORDERS).when(ACTIVATED)
    assert story.state.get(Order, examples.ORDER_ID) is None
    assert story.state.get(Ticket, examples.TICKET_CODE) is None
    assert 1 == story.entity(Numbering, "partition-0").orders

"""What a batch means for the fulfillment service: which catalogues it reads, how it signs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.messages import MESSAGES
from libs.kernel.catalogue import Catalogue
from libs.kernel.state import State
from libs.tickets.token import TicketClaims, TokenSigner, verify
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.fulfillment.tickets import TicketSigning
from tests.support import examples
from tests.support.catalogues import KeptCatalogues

SEED = bytes(range(32))
SIGNER = TokenSigner(SEED)


def behaviour(*catalogues: Catalogue) -> FulfillmentBehaviour:
    """Return the behaviour over some catalogue versions."""
    return FulfillmentBehaviour(
        numbers=examples.NUMBERS,
        sign=TicketSigning(SEED),
        catalogues=KeptCatalogues(*catalogues),
    )


def confirmed(decided: object) -> OrderConfirmed:
    """Return an answer as what it has to be."""
    assert isinstance(decided, OrderConfirmed)
    return decided


async def test_each_order_is_made_from_the_catalogue_it_was_sold_by() -> None:
    """Two versions may be on sale in one batch: holds live for two days."""
    renamed = replace(examples.PRODUCT, ticket_prefix="PARK-2025")
    newer = replace(examples.CATALOGUE, version=8, products=(renamed,))
    subject, state = behaviour(examples.CATALOGUE, newer), State(partition=0)
    old = examples.envelope_of(examples.RESERVATION_ACTIVATED)
    new = examples.envelope_of(replace(examples.RESERVATION_ACTIVATED, rule_version=8))
    assert () == await subject.prepare(state, [old, new])
    prefixes = [
        confirmed(subject.decide(state, message, examples.NOW).answer).tickets[0].ticket_code[:9]
        for message in (old, new)
    ]
    assert ["CRUISE-20", "PARK-2025"] == prefixes


async def test_a_version_that_does_not_exist_stops_the_batch() -> None:
    """An order is never made up from another version."""
    message = examples.envelope_of(replace(examples.RESERVATION_ACTIVATED, rule_version=9))
    with pytest.raises(LookupError):
        await behaviour(examples.CATALOGUE).prepare(State(partition=0), [message])


async def test_tokens_are_genuine_and_say_what_was_sold() -> None:
    """A gate learns from the token alone: code, product, day, customer type."""
    subject, state = behaviour(examples.CATALOGUE), State(partition=0)
    message = examples.envelope_of(examples.RESERVATION_ACTIVATED)
    await subject.prepare(state, [message])
    answer = confirmed(subject.decide(state, message, examples.NOW).answer)
    for ticket, customer_type in zip(answer.tickets, examples.CUSTOMER_TYPES, strict=True):
        claims = verify(ticket.qr_token, {SIGNER.key_id: SIGNER.public_key})
        assert isinstance(claims, TicketClaims)
        assert ticket.ticket_code == claims.ticket_code(prefix=examples.TICKET_PREFIX)
        assert (106, examples.WEEKEND, "weekend", customer_type) == (
            claims.product_id,
            claims.visit_date,
            claims.day_class,
            claims.customer_type,
        )


async def test_the_service_reads_the_messages_that_it_decides() -> None:
    """Every name of its interests is registered; time alone does nothing to orders."""
    subject = behaviour()
    assert set(subject.interests) <= {message.name for message in MESSAGES}
    assert () == subject.due(State(partition=0), examples.NOW, 10)
    assert subject.next_due() is None

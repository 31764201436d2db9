"""What an activation leads to: exactly one order, a ticket for each unit."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from libs.events.contracts.fulfillment import IssuedTicket, OrderConfirmed, OrderCreated
from libs.events.contracts.reservation import ReservationActivated
from libs.kernel.catalogue import Product
from libs.kernel.ids import Numbers
from libs.kernel.outcome import Decision
from libs.kernel.state import State
from services.fulfillment.domain.order import numbering


class SignTicket(Protocol):
    """Returns the signed token of a ticket; the same arguments give the same token."""

    def __call__(
        self,
        *,
        ticket_code: str,
        product_id: int,
        visit_date: date | None,
        day_class: str,
        customer_type: str,
    ) -> str:
        """Sign one ticket's claims."""
        ...


def decide(
    state: State,
    activated: ReservationActivated,
    *,
    product: Product,
    numbers: Numbers,
    sign: SignTicket,
    now: datetime,
) -> Decision:
    """Create the order of an activation; *product* is as of the version it was sold in."""
    counters = numbering(state)
    tickets = []
    for offset, customer_type in enumerate(activated.customer_types):
        ticket_code = numbers.ticket_code(
            prefix=product.ticket_prefix,
            partition=state.partition,
            counter=counters.tickets + offset,
        )
        token = sign(
            ticket_code=ticket_code,
            product_id=activated.product_id,
            visit_date=activated.visit_date,
            day_class=activated.day_class,
            customer_type=customer_type,
        )
        tickets.append(
            IssuedTicket(ticket_code=ticket_code, qr_token=token, customer_type=customer_type)
        )
    created = OrderCreated(
        order_id=activated.order_id,
        reservation_id=activated.reservation_id,
        pool_no=activated.pool_no,
        partner_id=activated.partner_id,
        product_id=activated.product_id,
        channel=activated.channel,
        quantity=activated.quantity,
        confirmation_code=numbers.confirmation_code(
            partition=state.partition, counter=counters.orders
        ),
        visit_date=activated.visit_date,
        day_class=activated.day_class,
        lines=activated.lines,
        total_minor=activated.total_minor,
        currency=activated.currency,
        rule_version=activated.rule_version,
        customer=activated.customer,
        payment_reference_hash=activated.payment_reference_hash,
        entitlements=product.entitlements,
        tickets=tuple(tickets),
    )
    confirmed = OrderConfirmed(
        order_id=created.order_id,
        reservation_id=created.reservation_id,
        product_id=created.product_id,
        confirmation_code=created.confirmation_code,
        visit_date=created.visit_date,
        created_at=now,
        lines=created.lines,
        total_minor=created.total_minor,
        currency=created.currency,
        entitlements=created.entitlements,
        tickets=created.tickets,
    )
    return Decision(events=(created,), answer=confirmed, recorded=True)

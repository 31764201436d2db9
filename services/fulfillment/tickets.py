"""Signs tickets, and publishes the keys that gates verify them with."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

from aiohttp import web

from libs.tickets.token import TicketClaims, TokenSigner


class TicketSigning:
    """See `services.fulfillment.domain.decisions.SignTicket`."""

    def __init__(self, seed: bytes) -> None:
        self._signer = TokenSigner(seed)

    def __call__(
        self,
        *,
        ticket_code: str,
        product_id: int,
        visit_date: date | None,
        day_class: str,
        customer_type: str,
    ) -> str:
        """Return the token of one ticket."""
        return self._signer.sign(
            TicketClaims.for_ticket(
                ticket_code=ticket_code,
                product_id=product_id,
                visit_date=visit_date,
                day_class=cast(Any, day_class),
                customer_type=cast(Any, customer_type),
            )
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the ops route that shows the public keys."""
        key = {"key_id": self._signer.key_id, "public_key": self._signer.public_key.hex()}
        body = {"algorithm": "Ed25519", "keys": [key]}

        async def ticket_keys(_: web.Request) -> web.Response:
            return web.json_response(body)

        return [web.get("/ticket-keys", ticket_keys)]

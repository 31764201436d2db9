"""The pricing API (contract, section 7): public, at the root, limited by address."""

from __future__ import annotations

from collections.abc import Callable

from services.gateway.app.pricing import Pricing
from services.gateway.domain.refusal import Refusal
from services.gateway.http import operations, reading
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import Answer, Exchange
from services.gateway.http.quote_body import QuoteBody, ignored_in_quote, read_quote

_DIGITS_MAX = 18

Window = Callable[[Exchange], Refusal | None]
"""Takes one call from its address's limit, or refuses it."""

INVALID_ID = Refusal(
    word="INVALID_PRODUCT_ID",
    detail="The product id in the address must be a positive whole number.",
)


class PricingEndpoints:
    """Rules and quotes."""

    def __init__(self, *, pricing: Pricing, window: Window) -> None:
        self._pricing = pricing
        self._window = window

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        return (
            Endpoint(
                method="GET",
                path="/pricing/rules/{product_id}",
                operation=operations.PRICE_RULES,
                public=self.rules,
            ),
            Endpoint(
                method="POST",
                path="/pricing/calculate",
                operation=operations.CALCULATE,
                body=QuoteBody,
                public=self.calculate,
            ),
        )

    async def rules(self, exchange: Exchange) -> Answer | Refusal:
        """GET /pricing/rules/{product_id}."""
        if (refusal := self._window(exchange)) is not None:
            return refusal
        exchange.ignored = exchange.parameters.ignored
        digits = exchange.id_in_path
        number = int(digits) if _is_number(digits) else 0
        if number <= 0:
            return INVALID_ID
        return _answer(self._pricing.rules(number))

    async def calculate(self, exchange: Exchange) -> Answer | Refusal:
        """POST /pricing/calculate."""
        if (refusal := self._window(exchange)) is not None:
            return refusal
        body = await reading.read_body(exchange, required=True)
        if isinstance(body, Refusal):
            return body
        exchange.ignored = [*ignored_in_quote(body), *exchange.parameters.ignored]
        asked = read_quote(body)
        if isinstance(asked, Refusal):
            return asked
        return _answer(self._pricing.calculate(asked))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def _answer(content: bytes | Refusal) -> Answer | Refusal:
    return content if isinstance(content, Refusal) else Answer(200, content)

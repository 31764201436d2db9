"""What the story's steps share: the cast, and what happened so far."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import aiohttp

from deploy.demo.checks import Checks
from deploy.demo.partner import Partner
from deploy.demo.prices import visit_day
from deploy.demo.screen import Screen
from deploy.demo.stack import Stack
from ota_client import Ticket

PRODUCT = 106
API_KEY = "ota_test_key_12345"
HONG_KONG = ZoneInfo("Asia/Hong_Kong")


@dataclass(slots=True, kw_only=True)
class Story:
    """One telling: who takes part, and what earlier steps left for later ones.

    *run* makes idempotency keys and payment references fresh, so that the story
    can be told again and again.
    """

    partner: Partner
    http: aiohttp.ClientSession
    screen: Screen
    checks: Checks
    stack: Stack
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    available: int = 0
    sold: str = ""
    cancelled: str = ""
    expired: str = ""
    reserve_body: bytes = b""
    order_id: str = ""
    tickets: Sequence[Ticket] = ()

    @property
    def visit_date(self) -> date:
        """The day the customer comes, in Hong Kong; a weekday (see `visit_day`)."""
        return visit_day(today=self.started_at.astimezone(HONG_KONG).date())

    def key(self, purpose: str) -> str:
        """Return this telling's idempotency key for *purpose*."""
        return f"demo-{self.run}-{purpose}"


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step: what it is called, why it is there, what it does."""

    title: str
    explanation: str
    tell: Callable[[Story], Awaitable[None]]

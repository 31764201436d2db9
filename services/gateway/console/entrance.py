"""Who comes in: signing in and out, and whether a session still holds.

While our database is away, whoever was seen lately may go on looking: that is when operators
need the console most. Acting needs the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from services.gateway.console.sessions import Session, Sessions
from services.gateway.console.tries import Tries
from services.gateway.domain.audit import shortened
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.operators import (
    NAME_FORM,
    PASSWORD_LENGTH_MAX,
    Operator,
    code_hash,
    nobodys_hash,
    password_matches,
)
from services.gateway.store.operators import OperatorStore

log = structlog.get_logger()

SESSION_ID_BYTES = 16
HASHES_AT_ONCE = 2
CONFIRMED_FOR = timedelta(minutes=10)
CONFIRMED_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody who is signed in, and the token that their forms carry."""

    session: Session
    operator: Operator
    form_token: str

    @property
    def may_act(self) -> bool:
        """Whether more than looking is allowed."""
        return self.operator.may_act


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody came in; *wait_s* is set when there were too many tries."""

    wait_s: float = 0.0


class Entrance:
    """Checks names, secrets and sessions; everybody raises StoreUnavailable where it matters."""

    def __init__(
        self,
        *,
        operators: OperatorStore,
        sessions: Sessions,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self._operators = operators
        self._sessions = sessions
        self._now = now
        self._monotonic = monotonic
        self._random = random
        self._tries = Tries()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._confirmed: dict[str, tuple[Operator, datetime]] = {}
        # Checked when there is no such name, so that time does not tell who exists.
        self._nobodys = nobodys_hash(random)

    async def sign_in(self, *, name: str, secret: str, address: str) -> str | Refused:
        """Return the cookie of a new session; *secret* is a password or a one-time code."""
        wait_s = self._tries.wait_s(name=name[:64], address=address, now_s=self._monotonic())
        if wait_s > 0:
            return Refused(wait_s)
        self._tries.failed(name=name[:64], address=address, now_s=self._monotonic())
        known = NAME_FORM.match(name) is not None and len(secret) <= PASSWORD_LENGTH_MAX
        operator = await self._proven(name, secret) if known else None
        network = shortened(address)
        shown = name if NAME_FORM.match(name) else "?"
        if operator is None:
            await self._operators.note(shown, "sign_in_refused", "console", address=network)
            log.warning("console.sign_in.refused", operator=shown, address=network)
            return Refused()
        await self._operators.note(name, "signed_in", "console", address=network)
        log.info("console.sign_in.done", operator=name, role=operator.role, address=network)
        self._tries.succeeded(name=name, address=address)
        session = self._sessions.begin(
            name=operator.name,
            generation=operator.generation,
            now=self._now(),
            random=self._random(SESSION_ID_BYTES),
        )
        return self._sessions.write(session)

    async def _proven(self, name: str, secret: str) -> Operator | None:
        if operator := await self._operators.take_code(name, code_hash=code_hash(secret)):
            return operator
        operator = await self._operators.operator(name)
        stored = operator.password_hash if operator is not None else None
        async with self._hashing:
            fits = await asyncio.to_thread(password_matches, secret, stored or self._nobodys)
        return operator if fits and stored is not None else None

    async def visitor(self, cookie: str | None) -> Visitor | None:
        """Return who a cookie belongs to, None if its session is over."""
        session = self._sessions.read(cookie, now=self._now()) if cookie else None
        if session is None:
            return None
        operator = await self._operator(session.name)
        if operator is None or operator.generation != session.generation:
            return None
        return Visitor(
            session=session,
            operator=operator,
            form_token=self._sessions.form_token(session),
        )

    async def _operator(self, name: str) -> Operator | None:
        try:
            operator = await self._operators.operator(name)
        except StoreUnavailable:
            known = self._confirmed.get(name)
            if known is None or self._now() - known[1] > CONFIRMED_FOR:
                raise
            return replace(known[0], role="viewer")
        if operator is None:
            self._confirmed.pop(name, None)
        elif len(self._confirmed) < CONFIRMED_MAX or name in self._confirmed:
            self._confirmed[name] = (operator, self._now())
        return operator

    def is_form_of(self, visitor: Visitor, token: str) -> bool:
        """Say whether a form came from a page of this visitor's."""
        return self._sessions.is_form_token(visitor.session, token)

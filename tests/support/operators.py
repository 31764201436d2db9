"""Operators and dead letters in memory: what the console's stores do, without a database."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from libs.events.kafka.dead_letters import DeadLetter, DeadLetterList
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.operators import Operator, Role, code_hash, code_text

PASSWORD = "correct horse battery"
PASSWORD_HASH = "scrypt$2$8$1$" + "$".join(
    base64.b64encode(each).decode()
    for each in (b"salt", hashlib.scrypt(PASSWORD.encode(), salt=b"salt", n=2, r=8, p=1, dklen=32))
)
"""As it is stored, but quick to compare with: a hash names its own cost."""
NOW = datetime(2026, 11, 23, 6, 3, 22, tzinfo=UTC)


class Operators:
    """See `services.gateway.store.operators.OperatorStore`; *away* makes the database so."""

    def __init__(self) -> None:
        self.rows: dict[str, Operator] = {}
        self._codes: dict[str, bytes] = {}
        self.notes: list[tuple[str, str, str, str]] = []
        self.away = False

    def put(self, name: str, role: Role, *, password_hash: str | None = None) -> None:
        """Have an operator."""
        self.rows[name] = Operator(
            name=name, role=role, generation=1, password_hash=password_hash, created_at=NOW
        )

    def change(self, name: str, **changed: Any) -> None:
        """Change one."""
        self.rows[name] = replace(self.rows[name], **changed)

    def give_code(self, name: str) -> str:
        """Return a one-time code."""
        code = code_text(name.encode().ljust(20))
        self._codes[name] = code_hash(code)
        return code

    async def operator(self, name: str) -> Operator | None:
        """See the store."""
        self._ask()
        return self.rows.get(name)

    async def take_code(self, name: str, *, code_hash: bytes) -> Operator | None:
        """See the store."""
        self._ask()
        if self._codes.get(name) != code_hash:
            return None
        del self._codes[name]
        return self.rows.get(name)

    async def note(
        self, by: str, action: str, subject: str, *, detail: str = "", address: str = ""
    ) -> None:
        """See the store."""
        self._ask()
        self.notes.append((by, action, subject, address))

    async def done(self, action: str, subjects: Sequence[str]) -> Mapping[str, datetime]:
        """See the store."""
        self._ask()
        noted = {subject for _, kind, subject, _ in self.notes if kind == action}
        return {subject: NOW for subject in subjects if subject in noted}

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class Letters:
    """See `libs.events.kafka.dead_letters.DeadLetters`."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.sent: list[int] = []

    def add(self, id: str, *, fault: str | None = None, reason: str = "unreadable") -> None:
        """Put a letter at the end."""
        self.letters.append(
            DeadLetter(
                offset=len(self.letters),
                at=NOW,
                topic="ota.inventory.commands.v1",
                partition=0,
                reason=reason,
                record_id=id,
                type="ota.inventory.place_hold",
                partner_id="harbour",
                request_id="req_1",
                size_bytes=10,
                fault=fault,
            )
        )

    async def newest(self, *, limit: int) -> DeadLetterList:
        """See the letters."""
        return DeadLetterList(letters=self.letters[::-1][:limit], total=len(self.letters))

    async def find(self, offset: int) -> DeadLetter | None:
        """See the letters."""
        return self.letters[offset] if offset < len(self.letters) else None

    async def replay(self, offset: int, *, now: datetime) -> DeadLetter | None:
        """See the letters."""
        self.sent.append(offset)
        return await self.find(offset)

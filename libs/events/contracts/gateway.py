"""Answers that any deciding service may give to a gateway."""

from __future__ import annotations

from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReused:
    """The idempotency key was used before with another request; nothing was done."""

    command_id: str

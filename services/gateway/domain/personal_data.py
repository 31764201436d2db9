"""Erasing customers' data: what is found, what is recorded. Nothing here says whom it was about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Handle = Literal["email", "phone", "order", "reservation"]
"""By what a customer is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """The key of one sealed record of a customer."""

    key_id: str
    partner_id: str
    reservation_id: str
    erased_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerErased:
    """Keys were emptied: what they had sealed can't be opened by anybody any more."""

    looked_for_by: Handle
    key_ids: tuple[str, ...]
    partner_ids: tuple[str, ...]
    reservations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyRotated:
    """Keys are wrapped under another master key, which is named by its id."""

    master_key_id: str
    keys: int


PersonalDataEvent = CustomerErased | MasterKeyRotated

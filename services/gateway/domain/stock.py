"""What a pool's figures mean to a partner."""

from __future__ import annotations

from typing import Literal

StockStatus = Literal["available", "low", "sold_out"]

_LOW_DIVISOR = 10


def stock_status(*, available: int, capacity: int) -> StockStatus:
    """Say how a pool stands; low is a tenth of the capacity or less (contract, section 4)."""
    if available <= 0:
        return "sold_out"
    return "low" if available * _LOW_DIVISOR <= capacity else "available"

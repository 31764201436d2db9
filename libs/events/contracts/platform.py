"""What the platform tells of itself, whichever service speaks."""

from __future__ import annotations

from datetime import datetime

from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadAnchored:
    """The head of a partition's log at a time, signed (docs/tamper-evidence.md).

    *hash* is hexadecimal, *signature* base64url without padding.
    """

    service: str
    partition: int
    generation: int
    seq: int
    hash: str
    anchored_at: datetime
    key_id: str
    signature: str

"""When a call is made again, and after which pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ota_client.exchange import Answer

RETRYABLE_STATUSES = frozenset({408, 429, 502, 503, 504})
"""502 is not the API's own: a proxy in between has lost it."""

RETRYABLE_CODES = frozenset({"IDEMPOTENCY_IN_PROGRESS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a client is; times in seconds.

    *deadline_s*: for a call with all its tries and pauses. *try_s*: for one try; the API
    answers within 2 s, whatever is broken behind it. Without `Retry-After` pauses double
    from *pause_min_s* to *pause_max_s*, and are shortened at random by up to a half so that
    many clients do not come back at once.
    """

    deadline_s: float = 30.0
    try_s: float = 10.0
    pause_min_s: float = 0.2
    pause_max_s: float = 5.0

    def pause_s(self, *, tries: int, answer: Answer | None, random: Callable[[], float]) -> float:
        """Return the pause after so many *tries*; *answer* is the last one's, if it had one.

        Never shorter than `Retry-After`; at most a tenth longer, for the same reason.
        """
        asked = retry_after_s(answer)
        if asked is not None:
            return asked + random() * max(asked / 10, self.pause_min_s)
        # 2.0 ** 1024 overflows; every pause is the longest by then.
        doubled = self.pause_min_s * 2.0 ** min(tries - 1, 32)
        return min(doubled, self.pause_max_s) * (1 - random() / 2)


def is_retryable(answer: Answer) -> bool:
    """Say whether the same request with the same key may do better later."""
    return answer.status in RETRYABLE_STATUSES or answer.code in RETRYABLE_CODES


def retry_after_s(answer: Answer | None) -> float | None:
    """Return the seconds that an answer asks to wait, None if it says nothing."""
    text = "" if answer is None else answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None

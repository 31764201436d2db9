"""Rate limits (I21): never more than a partner's limit in any 60 seconds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ota_checker.calls import Call
from ota_checker.verdicts import Verdicts

WINDOW_NS = 60 * 1_000_000_000
_BEFORE_THE_LIMIT = frozenset({401, 405, 408, 429})


@dataclass(slots=True)
class _Accepted:
    invoked: array[int] = field(default_factory=lambda: array("q"))
    completed: array[int] = field(default_factory=lambda: array("q"))


@dataclass(slots=True)
class Limits:
    """Counts the calls that were let through; those that may not have been are left out.

    *limits* are calls a minute by partner; without them those that answers name are used.
    """

    limits: dict[str, int]
    verdicts: Verdicts
    _accepted: dict[str, _Accepted] = field(default_factory=dict)

    def take(self, call: Call) -> None:
        """Note a call."""
        status = call.status
        if call.partner is None or status is None or status >= 500 or status in _BEFORE_THE_LIMIT:
            return
        if status == 404 and call.word == "NOT_FOUND":
            return
        if call.limit is not None:
            self.limits.setdefault(call.partner, call.limit)
        accepted = self._accepted.setdefault(call.partner, _Accepted())
        accepted.invoked.append(call.invoked_ns)
        accepted.completed.append(call.completed_ns)

    def finish(self) -> None:
        """Slide the window over each partner's calls.

        A call counts in a window that holds all of it, so a decision at the window's edge
        is never counted wrongly.
        """
        for partner, accepted in sorted(self._accepted.items()):
            limit = self.limits.get(partner)
            if limit is None:
                self.verdicts.lack("I21", "no partners.json, and no answer names a limit")
                continue
            self.verdicts.look("I21", len(accepted.invoked))
            most = _most_in_window(accepted)
            self.verdicts.figures[f"calls a minute of {partner}, at most"] = most
            if most > limit:
                rule = f"{partner} was let through {most} times in 60 seconds, its limit is {limit}"
                self.verdicts.violate("I21", rule)


def _most_in_window(accepted: _Accepted) -> int:
    completed = sorted(accepted.completed)
    # A call that began before the window is not counted in it, one that ends behind it neither.
    started = sorted(accepted.invoked)
    most = begun = 0
    for done, end in enumerate(completed, 1):
        while begun < len(started) and started[begun] <= end - WINDOW_NS:
            begun += 1
        most = max(most, done - begun)
    return most

"""How often somebody may try to sign in: bounded for each name at an address, and for each address.

Never for a name alone: else anybody could keep its owner out. Pure; *now_s* is a steady clock.
"""

from __future__ import annotations

from collections import OrderedDict

WINDOW_S = 300.0
NAME_TRIES_MAX = 5
ADDRESS_TRIES_MAX = 30
KNOWN_MAX = 10_000


class Tries:
    """Counts the failed tries of the last five minutes."""

    def __init__(self) -> None:
        self._failed: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    def wait_s(self, *, name: str, address: str, now_s: float) -> float:
        """Return for how long the next try has to wait, 0 if it needn't."""
        return max(
            self._wait((address, name), NAME_TRIES_MAX, now_s),
            self._wait((address,), ADDRESS_TRIES_MAX, now_s),
        )

    def failed(self, *, name: str, address: str, now_s: float) -> None:
        """Count a try that failed. Count it before the check, so that many at once count too."""
        for key in ((address, name), (address,)):
            recent = self._recent(key, now_s)
            self._failed[key] = [*recent, now_s][-ADDRESS_TRIES_MAX:]
            self._failed.move_to_end(key)
        while len(self._failed) > KNOWN_MAX:
            self._failed.popitem(last=False)

    def succeeded(self, *, name: str, address: str) -> None:
        """Forget the tries of somebody who is in."""
        self._failed.pop((address, name), None)

    def _wait(self, key: tuple[str, ...], most: int, now_s: float) -> float:
        recent = self._recent(key, now_s)
        return recent[-most] + WINDOW_S - now_s if len(recent) >= most else 0.0

    def _recent(self, key: tuple[str, ...], now_s: float) -> list[float]:
        return [at for at in self._failed.get(key, ()) if at > now_s - WINDOW_S]

"""How often, and how soon, a process that dies is started again. Pure: time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class RestartPolicy:
    """At most `restarts_max` restarts within `window_s`, each waiting longer than the last."""

    restarts_max: int = 5
    window_s: float = 60.0
    first_delay_s: float = 0.5
    delay_max_s: float = 8.0
    _restarted_at_s: deque[float] = field(default_factory=deque)

    def next_delay_s(self, *, now_s: float) -> float | None:
        """Record a death; return the seconds to wait before the restart, None if it stays down."""
        while self._restarted_at_s and now_s - self._restarted_at_s[0] >= self.window_s:
            self._restarted_at_s.popleft()
        recent = len(self._restarted_at_s)
        if recent >= self.restarts_max:
            return None
        self._restarted_at_s.append(now_s)
        return float(min(self.delay_max_s, self.first_delay_s * 2**recent))

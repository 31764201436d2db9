"""So many requests begin in one round of the event loop, so that answers never wait for them.

A round reads what has arrived on every connection. With a thousand requests in one, the answers
of the deciding services, which come on one connection, would be a round late at each of their
stations. Here new requests take turns between rounds; one whose turn came too late is refused,
which costs a fraction of what carrying it out would.
"""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 256
"""With no more than these under way nobody has to wait: together they cost fewer rounds."""
A_ROUND = 16
LATE_S = 0.5


class Turns:
    """Gives requests their turns, first come first served."""

    def __init__(self) -> None:
        self._serving = 0
        self._left = A_ROUND
        self._due = False
        self._queue: deque[tuple[float, asyncio.Future[bool]]] = deque()

    def enter(self) -> asyncio.Future[bool] | None:
        """Let a request in: None says at once; the future says whether it still is in time.

        Call `leave` when it has ended, whatever became of it.
        """
        self._serving += 1
        if self._serving <= AT_ONCE:
            return None
        loop = asyncio.get_running_loop()
        if not self._due:
            self._due = True
            loop.call_soon(self._next_round)
        if self._left and not self._queue:
            self._left -= 1
            return None
        turn = loop.create_future()
        self._queue.append((loop.time(), turn))
        return turn

    def leave(self) -> None:
        """Take note that a request has ended."""
        self._serving -= 1

    def _next_round(self) -> None:
        loop = asyncio.get_running_loop()
        late_before = loop.time() - LATE_S
        self._left = A_ROUND
        while self._queue and self._left:
            asked_at, turn = self._queue.popleft()
            if not turn.done():  # its client may have gone
                turn.set_result(asked_at >= late_before)
                self._left -= 1
        self._due = bool(self._queue)
        if self._due:
            loop.call_soon(self._next_round)

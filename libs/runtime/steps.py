"""Crash points: a process that kills itself where a test asks it to, as a power cut would."""

from __future__ import annotations

import os
import re
import signal

_KILL_AT = re.compile(r"(?P<name>[a-z0-9_.]+)(?::(?P<pass>[1-9][0-9]*))?")


class Steps:
    """Counts passes of one named step and kills the process at the chosen one.

    *kill_at* is ``name`` or ``name:n`` (setting ``OTA_KILL_AT``); None never kills and costs
    one comparison a pass. Raises ValueError for any other form.
    """

    __slots__ = ("_left", "_name")

    def __init__(self, kill_at: str | None) -> None:
        self._name: str | None = None
        self._left = 0
        if kill_at is not None:
            match = _KILL_AT.fullmatch(kill_at)
            if match is None:
                raise ValueError(f"a crash point is name or name:n, not {kill_at!r}")
            self._name = match["name"]
            self._left = int(match["pass"] or 1)

    def __call__(self, name: str) -> None:
        """Pass the step *name*; does not return from the chosen pass."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

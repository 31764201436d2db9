"""What tests ask of a process: to kill itself at a step, as a power cut would, or to be slow."""

from __future__ import annotations

import asyncio
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


THROTTLE_LATE_S = 0.05
"""So much of the time that deciding itself takes counts as time that commands have waited."""


class Throttle:
    """Lets *per_s* commands a second pass, as if deciding each took its time; None lets all pass.

    Setting ``OTA_THROTTLE``. Each partition of a service has one of its own.
    """

    __slots__ = ("_command_s", "_free_at")

    def __init__(self, per_s: int | None) -> None:
        self._command_s = 1 / per_s if per_s is not None else 0.0
        self._free_at = 0.0

    async def __call__(self, commands: int) -> None:
        """Wait until so many commands would have been decided."""
        if not self._command_s or not commands:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(now - THROTTLE_LATE_S, self._free_at) + commands * self._command_s
        await asyncio.sleep(max(0.0, self._free_at - now))

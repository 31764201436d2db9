"""Live progress on the screen: one line that redraws itself, or a line each where it cannot."""

from __future__ import annotations

from typing import TextIO


class Screen:
    """Writes results to *out*; progress is redrawn in place on a terminal, else left out."""

    def __init__(self, *, out: TextIO, terminal: bool) -> None:
        self._out = out
        self._terminal = terminal
        self._pending = False

    def line(self, text: str = "") -> None:
        """Write a line that stays."""
        self._clear()
        self._out.write(text + "\n")
        self._out.flush()

    def progress(self, text: str) -> None:
        """Show how a wait stands; the next line or progress replaces it."""
        if self._terminal:
            self._clear()
            self._out.write(f"… {text}")
            self._out.flush()
            self._pending = True

    def _clear(self) -> None:
        if self._pending:
            self._out.write("\r\x1b[2K")
            self._pending = False

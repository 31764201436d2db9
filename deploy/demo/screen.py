"""How the story looks: numbered steps, requests and answers, check marks, progress."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TextIO

from deploy.demo.shortening import pretty_body

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
WIDTH = 100
SHOWN_HEADERS = (
    "Location",
    "Idempotent-Replayed",
    "OTA-Position",
    "OTA-Ignored",
    "RateLimit",
    "Retry-After",
    "Content-Type",
    "X-Request-Id",
)
"""Headers of an answer that say something in this story."""


class Screen:
    """Writes the story to *out*; colours and a line that redraws itself only when *terminal*."""

    def __init__(self, *, out: TextIO, terminal: bool, colour: bool) -> None:
        self._out = out
        self._terminal = terminal
        self._colour = colour
        self._progress_shown = False

    def line(self, text: str = "", *, style: str = "") -> None:
        """Write one line."""
        self._end_progress()
        self._out.write(self._styled(text, style) + "\n")
        self._out.flush()

    def step(self, *, number: int, count: int, title: str, explanation: str) -> None:
        """Open a step with its number, title and the sentence that explains it."""
        self.line()
        self.line(f"━━ {number}/{count}  {title} ".ljust(WIDTH, "━"), style=BOLD)
        for row in textwrap.wrap(explanation, WIDTH - 3):
            self.line(f"   {row}", style=DIM)
        self.line()

    def request(self, *, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Show a request that is about to be sent."""
        self.line(f"   → {method} {path}", style=CYAN)
        for name, value in headers.items():
            self.line(f"     {name}: {value}", style=DIM)
        if body:
            self._block(pretty_body(body))

    def answer(
        self, *, status: int, headers: Mapping[str, str], body: bytes, elapsed_ms: float
    ) -> None:
        """Show an answer: status, time, headers of interest, body shortened."""
        style = GREEN if status < 400 else YELLOW
        self.line(f"   ← {status} {_phrase(status)}   {elapsed_ms:.0f} ms", style=style)
        for name in SHOWN_HEADERS:
            if name in headers and not headers[name].startswith("application/json"):
                self.line(f"     {name}: {headers[name]}", style=DIM)
        if body:
            self._block(pretty_body(body))
        self.line()

    def brief(self, *, method: str, path: str, status: int, what: str) -> None:
        """Show a request and its answer on one line."""
        self.line(f"   → {method} {path}   ← {status}   {what}", style=CYAN)

    def note(self, text: str) -> None:
        """Write a remark."""
        self.line(f"   {text}", style=DIM)

    def progress(self, text: str) -> None:
        """Show how a wait stands; redrawn in place on a terminal, one line each elsewhere."""
        if not self._terminal:
            self.line(f"   … {text}")
            return
        self._out.write("\r\x1b[2K" + self._styled(f"   … {text}", YELLOW))
        self._out.flush()
        self._progress_shown = True

    def verdict(self, *, passed: bool, text: str) -> None:
        """Write a check's outcome."""
        self.line(f"   {'✓' if passed else '✗'} {text}", style=GREEN if passed else RED)

    def table(self, *, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table with columns as wide as their widest cell."""
        columns = list(zip(header, *rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        for index, row in enumerate((header, *rows)):
            cells = "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            self.line(f"   {cells}".rstrip(), style=BOLD if index == 0 else "")

    def _block(self, text: str) -> None:
        for row in text.splitlines():
            self.line(f"     {row}")

    def _end_progress(self) -> None:
        if self._progress_shown:
            self._progress_shown = False
            self._out.write("\n")

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and self._colour else text


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

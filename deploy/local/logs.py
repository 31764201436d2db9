"""Reading the logs of the stack: the end of each, and on request whatever is added."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.log_lines import LEVELS, LogLine, for_people, read_line
from deploy.local.processes import tail
from deploy.local.stack import StackError

_LINES_BEFORE: Final = 50
_FOUND_MAX: Final = 1000
_PAUSE_S: Final = 0.3
_READ_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which lines are wanted: of a level at least, with each of the texts; *raw* as they stand."""

    level: str = ""
    texts: tuple[str, ...] = ()
    raw: bool = False

    @property
    def searches(self) -> bool:
        """Whether lines are looked for, anywhere in the logs, and not just their end."""
        return bool(self.level or self.texts)

    def takes(self, line: LogLine) -> bool:
        """Say whether a line is wanted."""
        if self.level and (not line.level or LEVELS.index(line.level) < LEVELS.index(self.level)):
            return False
        return all(text in line.text for text in self.texts)


def wish_of(variables: Mapping[str, str]) -> Wish:
    """Return what LEVEL, TRACE, GREP and FORMAT ask for; raises StackError."""
    level = variables.get("LEVEL", "").lower()
    if level and level not in LEVELS:
        raise StackError(f"LEVEL must be one of {', '.join(LEVELS)}")
    if (form := variables.get("FORMAT", "")) not in {"", "json"}:
        raise StackError(f"FORMAT must be json or left out, not {form}")
    texts = tuple(filter(None, (variables.get("TRACE", ""), variables.get("GREP", ""))))
    return Wish(level=level, texts=texts, raw=form == "json")


def choose(*, log_dir: Path, wanted: str) -> list[str]:
    """Return the names of the logs to show: all, or one with those of its further instances.

    Raises StackError if the one wanted is not there.
    """
    names = sorted(path.stem for path in log_dir.glob("*.log"))
    if not names:
        raise StackError("there are no logs yet: nothing was started")
    if not wanted:
        return names
    if wanted not in names:
        raise StackError(f"there is no log of {wanted}; there is: {', '.join(names)}")
    return [name for name in names if name == wanted or name.startswith(f"{wanted}-")]


def show(*, log_dir: Path, names: list[str], follow: bool, wish: Wish | None = None) -> None:
    """Print the end of the logs, or what is wished for, by time; then, if asked to, follow them."""
    printer = _Printer(names, wish or Wish())
    positions = {name: _size(log_dir / f"{name}.log") for name in names}
    before = {name: printer.wanted(name, _lines(log_dir, name, printer.wish)) for name in names}
    most = _FOUND_MAX if printer.wish.searches else _LINES_BEFORE
    last = ((name, line) for name, lines in before.items() for line in deque(lines, maxlen=most))
    for name, line in sorted(last, key=lambda each: each[1].moment):
        printer.print(name, line)
    while follow:
        time.sleep(_PAUSE_S)
        for name in names:
            text, positions[name] = added(log=log_dir / f"{name}.log", since=positions[name])
            for line in printer.wanted(name, text.splitlines()):
                printer.print(name, line)


def _lines(log_dir: Path, name: str, wish: Wish) -> Iterator[str]:
    log = log_dir / f"{name}.log"
    if not wish.searches:
        yield from tail(log=log, lines=_LINES_BEFORE)
        return
    for path in (log.with_name(f"{name}.log.1"), log):
        if path.exists():
            with path.open(encoding="utf-8", errors="replace") as stream:
                yield from (line.rstrip("\n") for line in stream)


def added(*, log: Path, since: int) -> tuple[str, int]:
    """Return the whole lines added after a position, and the position after them."""
    size = _size(log)
    if size < since:
        # It was cut because it had grown too large.
        since = 0
    if size == since:
        return "", since
    with log.open("rb") as stream:
        stream.seek(since)
        chunk = stream.read(_READ_BYTES_MAX)
    whole = chunk[: chunk.rfind(b"\n") + 1]
    if not whole and len(chunk) == _READ_BYTES_MAX:
        whole = chunk
    return whole.decode("utf-8", errors="replace"), since + len(whole)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


class _Printer:
    """Prints lines; what follows a line without saying when belongs to it."""

    def __init__(self, names: list[str], wish: Wish) -> None:
        self.wish = wish
        self._width = max(map(len, names)) if len(names) > 1 else 0
        self._before: dict[str, tuple[str, bool]] = {}
        self._colours = sys.stdout.isatty()

    def wanted(self, name: str, texts: Iterable[str]) -> Iterator[LogLine]:
        """Give those of a log's lines that are wished for."""
        for text in texts:
            line = read_line(text)
            moment, taken = self._before.get(name, ("", not self.wish.searches))
            if line.moment:
                moment, taken = line.moment, self.wish.takes(line)
            self._before[name] = moment, taken
            if taken:
                yield LogLine(text=text, moment=moment, level=line.level, fields=line.fields)

    def print(self, name: str, line: LogLine) -> None:
        """Print a line, with its log's name if there are several."""
        text = line.text if self.wish.raw else for_people(line, colours=self._colours)
        print(f"{name:<{self._width}} | {text}" if self._width else text, flush=True)

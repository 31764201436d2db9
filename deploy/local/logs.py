"""Reading the logs of the stack: the end of each, and on request whatever is added."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from deploy.local.processes import tail
from deploy.local.stack import StackError

_LINES_BEFORE: Final = 50
_PAUSE_S: Final = 0.3
_READ_BYTES_MAX: Final = 1 << 20


def choose(*, log_dir: Path, wanted: str) -> list[str]:
    """Return the names of the logs to show. Raises StackError if the one wanted is not there."""
    names = sorted(path.stem for path in log_dir.glob("*.log"))
    if not names:
        raise StackError("there are no logs yet: nothing was started")
    if not wanted:
        return names
    if wanted not in names:
        raise StackError(f"there is no log of {wanted}; there is: {', '.join(names)}")
    return [wanted]


def show(*, log_dir: Path, names: list[str], follow: bool) -> None:
    """Print the end of each log, then, if asked to, follow them until interrupted."""
    width = max(map(len, names)) if len(names) > 1 else 0
    positions: dict[str, int] = {}
    for name in names:
        positions[name] = _size(log_dir / f"{name}.log")
        for line in tail(log=log_dir / f"{name}.log", lines=_LINES_BEFORE):
            _print(name, line, width=width)
    while follow:
        time.sleep(_PAUSE_S)
        for name in names:
            text, positions[name] = added(log=log_dir / f"{name}.log", since=positions[name])
            for line in text.splitlines():
                _print(name, line, width=width)


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


def _print(name: str, line: str, *, width: int) -> None:
    print(f"{name:<{width}} | {line}" if width else line, flush=True)

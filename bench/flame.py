"""Collapsed stacks of a sampling profiler: shares by function, and a flame graph as plain SVG.

A line of the format is ``outermost;...;innermost count``. Pure: no profiler, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

Stacks = Mapping[tuple[str, ...], int]

WIDTH_PX, ROW_PX, CHARACTER_PX, NARROWEST_PX = 1400, 17, 6.6, 0.4
HEAD_ROWS = 3
OURS, THEIRS, PLACES = "#e8743b", "#f2c14e", "#b9c0c7"
# The profiler's own frames for where a stack was taken, not functions.
PLACE_WORDS = ("process ", "thread ")
# Where threads and processes wait for work. A profiler cannot tell that on every system.
WAITING = (
    "Condition.wait (threading.py",
    "Connection._recv (multiprocessing/connection.py",
    "Connection._recv_bytes (multiprocessing/connection.py",
    "SemLock.__enter__ (multiprocessing/synchronize.py",
    "_PollLikeSelector.select (selectors.py",
    "_end_with_parent (libs/tickets/renderer.py",
    "_worker (concurrent/futures/thread.py",
    "main (multiprocessing/resource_tracker.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What part of the CPU time a function took, itself (*own*) and with what it called."""

    function: str
    own: float
    cumulative: float


@dataclass(slots=True)
class _Frame:
    samples: int = 0
    inner: dict[str, _Frame] = field(default_factory=dict)


def parse(text: str) -> Counter[tuple[str, ...]]:
    """Return the samples of each stack; raises ValueError for a line of another form."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        if line.strip():
            frames, _, count = line.rpartition(" ")
            stacks[tuple(frames.split(";"))] += int(count)
    return stacks


def running(stacks: Stacks) -> dict[tuple[str, ...], int]:
    """Return the stacks whose innermost function is none that only waits."""
    return {
        frames: samples
        for frames, samples in stacks.items()
        if not frames[-1].startswith((*WAITING, *PLACE_WORDS))
    }


def shares(stacks: Stacks) -> list[Share]:
    """Return every function's shares, the largest own one first."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for frames, samples in stacks.items():
        functions = [frame for frame in frames if not frame.startswith(PLACE_WORDS)]
        if functions:
            own[functions[-1]] += samples
        # A set: a function that calls itself is on the stack once.
        cumulative.update(dict.fromkeys(functions, samples))
    total = sum(stacks.values())
    found = [
        Share(function=name, own=own[name] / total, cumulative=samples / total)
        for name, samples in cumulative.items()
    ]
    return sorted(found, key=lambda each: (-each.own, -each.cumulative, each.function))


def svg(stacks: Stacks, *, title: str, ours: Iterable[str]) -> str:
    """Return the flame graph; files below one of *ours* have a colour of their own.

    Wide is expensive, left to right is by name and means nothing; hovering shows a frame in full.
    """
    root = _Frame()
    for frames, samples in stacks.items():
        frame = root
        frame.samples += samples
        for name in frames:
            frame = frame.inner.setdefault(name, _Frame())
            frame.samples += samples
    boxes: list[str] = []
    depth = _draw(root, boxes=boxes, row=HEAD_ROWS, left_px=0.0, total=root.samples, ours=(*ours,))
    height = (depth + 1) * ROW_PX
    size = f'width="{WIDTH_PX}" height="{height}"'
    space = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}"'
    legend = "orange: this repository, yellow: libraries and Python; hover for a frame in full"
    return "\n".join(
        (
            f'<svg {space} {size} font-family="monospace" font-size="11">',
            f'<rect {size} fill="#ffffff"/>',
            f'<text x="4" y="{ROW_PX}" font-size="14">{escape(title)}</text>',
            f'<text x="4" y="{2 * ROW_PX}">{root.samples:,} samples; {legend}</text>',
            *boxes,
            "</svg>\n",
        )
    )


def _draw(
    frame: _Frame, *, boxes: list[str], row: int, left_px: float, total: int, ours: tuple[str, ...]
) -> int:
    """Draw what a frame called; return the lowest row that was used."""
    lowest = row
    for name, inner in sorted(frame.inner.items()):
        width_px = WIDTH_PX * inner.samples / total
        if width_px >= NARROWEST_PX:
            boxes.append(_box(name, inner.samples / total, row, left_px, width_px, ours))
            lowest = max(
                lowest,
                _draw(inner, boxes=boxes, row=row + 1, left_px=left_px, total=total, ours=ours),
            )
        left_px += width_px
    return lowest


def _box(
    name: str, share: float, row: int, left_px: float, width_px: float, ours: tuple[str, ...]
) -> str:
    _, _, file = name.rpartition(" (")
    colour = PLACES if name.startswith(PLACE_WORDS) else OURS if file.startswith(ours) else THEIRS
    room = int(width_px / CHARACTER_PX)
    shown = name if len(name) <= room else f"{name[: room - 1]}…" if room > 3 else ""
    top = row * ROW_PX
    return (
        f"<g><title>{escape(name)}: {share:.1%}</title>"
        f'<rect x="{left_px:.1f}" y="{top}" width="{width_px:.1f}" height="{ROW_PX - 1}" '
        f'fill="{colour}" stroke="#ffffff" stroke-width="0.4"/>'
        f'<text x="{left_px + 2:.1f}" y="{top + ROW_PX - 5}">{escape(shown)}</text></g>'
    )

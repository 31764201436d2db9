"""Controls: with a guard off the verifier misses what it otherwise finds.

They show that the campaign could fail, and say honestly what no guard covers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ota_verify.verifying import Options
from tests.tamper.campaign import judged, tampered
from tests.tamper.tampering import Files, NothingToTamper, Tamperer, load

TRIES_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What was tried, what should come of it, and whether it did."""

    name: str
    outcome: str
    holds: bool


def controls(source: Path, *, seed: int) -> list[Control]:
    """Run all controls on an export."""
    files = load(source)
    off = Options(anchors=False, topics=False)
    return [
        _control(
            "a chain made anew, anchors on",
            source,
            files,
            seed,
            lambda tamperer: tamperer.rewrite(anchored=True),
            Options(topics=False),
            detected=True,
        ),
        _control(
            "a chain made anew, anchors off",
            source,
            files,
            seed,
            lambda tamperer: tamperer.rewrite(anchored=True),
            off,
            detected=False,
        ),
        _control(
            "a chain made anew after the last anchor, event topics still there",
            source,
            files,
            seed,
            lambda tamperer: tamperer.rewrite(anchored=False),
            Options(),
            detected=True,
        ),
        _control(
            "a chain made anew after the last anchor, event topics gone",
            source,
            files,
            seed,
            lambda tamperer: tamperer.rewrite(anchored=False),
            Options(topics=False),
            detected=False,
        ),
    ]


def _control(
    name: str,
    source: Path,
    files: Files,
    seed: int,
    tampering: Callable[[Tamperer], str],
    options: Options,
    *,
    detected: bool,
) -> Control:
    for draw in range(TRIES_MAX):
        tamperer = Tamperer(dict(files), seed=seed + draw)
        try:
            tampering(tamperer)
        except NothingToTamper:
            continue
        with tampered(source, tamperer) as folder:
            report = judged(folder, options)
        found = report is None or not report.sound
        outcome = "detected" if found else "missed"
        return Control(name=name, outcome=outcome, holds=found == detected)
    # Such as an export whose every head is anchored: nothing comes after the last anchor.
    return Control(name=name, outcome="nothing of the kind in this export", holds=True)

"""A campaign: tamperings of an export, one after another, each judged by the verifier."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ota_verify.files import ExportError, ExportFolder
from ota_verify.verifying import Options, Report, verify
from tests.support.exported import write_rows
from tests.tamper.tampering import KINDS, Files, NothingToTamper, Row, Tamperer, load

DRAWS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One tampering and what the verifier said of it."""

    seed: int
    kind: str
    name: str
    told: str
    detected: bool
    checks: tuple[str, ...]
    first: str | None


@contextmanager
def tampered(source: Path, tamperer: Tamperer) -> Iterator[Path]:
    """Give a copy of an export with what the tamperer has changed; the rest is linked."""
    with tempfile.TemporaryDirectory(prefix="ota-tamper-") as scratch:
        folder = Path(scratch)
        for path in source.iterdir():
            if path.name in tamperer.touched:
                write_rows(folder, path.name, tamperer.files[path.name])
            else:
                (folder / path.name).symlink_to(path.resolve())
        yield folder


def judged(folder: Path, options: Options | None = None) -> Report | None:
    """Return the verifier's report, None if it could not even read the export."""
    try:
        return verify(ExportFolder(folder), options)
    except ExportError:
        return None


def campaign(source: Path, *, seed: int, count: int) -> Iterator[Outcome]:
    """Make *count* tamperings, the classes in turns; raises AssertionError for a broken source."""
    files = load(source)
    sound = verify(ExportFolder(source))
    assert sound.sound, f"the export is not sound to begin with: {sound.findings.kept[:3]}"
    kinds = list(KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield _one(source, files, kind=kind, seed=seed + number)


def _one(source: Path, files: Files, *, kind: str, seed: int) -> Outcome:
    for draw in range(DRAWS_MAX):
        tamperer = Tamperer(dict(files), seed=seed * DRAWS_MAX + draw)
        name = tamperer.random.choice(list(KINDS[kind]))
        try:
            told = KINDS[kind][name](tamperer)
        except NothingToTamper:
            continue
        if all(_same(files[each], tamperer.files[each]) for each in tamperer.touched):
            continue  # drawn a change that changes nothing
        with tampered(source, tamperer) as folder:
            report = judged(folder)
        return Outcome(
            seed=seed,
            kind=kind,
            name=name,
            told=told,
            detected=report is None or not report.sound,
            checks=() if report is None else tuple(sorted(report.findings.counts)),
            first=None if report is None or report.sound else _first(report),
        )
    raise AssertionError(f"nothing of the kind {kind} can be done to this export")


def _first(report: Report) -> str:
    first = report.findings.first()
    assert first is not None
    return f"{first.place()}: {first.text}"[:200]


def _same(before: list[Row], after: list[Row]) -> bool:
    """Say whether two files have the same rows; their order counts for events only."""
    if before and "previous_hash" in before[0]:
        return before == after
    return sorted(map(_text, before)) == sorted(map(_text, after))


def _text(row: Row) -> str:
    return json.dumps(row, sort_keys=True)

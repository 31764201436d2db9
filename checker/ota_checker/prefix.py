"""The shortest prefix: of the logs and the history only what a disagreement is about.

A second reading of the files, for the first violations of each invariant only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ota_checker.model import SERVICES
from ota_checker.reading import Export, Row
from ota_checker.verdicts import EventPlace, Verdicts, Violation

STORIES_MAX = 2
"""Violations of one invariant that are told in full."""
_RESERVATION = re.compile(r'"subject": ?"(res_[0-9A-Z]{26})"')
_POOL = re.compile(r'\\"pool_no\\": ?([0-9]+)')
_MOVES = ("units_held", "units_sold", "units_released")


@dataclass(slots=True)
class Story:
    """A violation with its events, in the order of the logs, and its calls."""

    violation: Violation
    events: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    left_out: int = 0
    """Events of the pool that cancel each other out: holds that were given back before."""


def stories(*, export: Export, verdicts: Verdicts, only: tuple[str, ...]) -> list[Story]:
    """Return the stories of the first violations of each invariant."""
    told: list[Story] = []
    for invariant in only:
        mine = [each for each in verdicts.violations if each.invariant == invariant]
        mine.sort(key=lambda each: (each.until is None, each.until or ()))
        told += [Story(each) for each in mine[:STORIES_MAX]]
    if told:
        _add_events(export, told)
        _add_calls(export, told)
    return told


def _add_events(export: Export, told: list[Story]) -> None:
    for service in SERVICES:
        for row in _wanted(export, service, told):
            place = (service, row["partition"], row["seq"])
            for story in told:
                if _belongs(row, place, story.violation):
                    story.events.append({"service": service, **row})
    for story in told:
        if story.violation.pool_no is not None:
            _shorten(story)


def _wanted(export: Export, service: str, told: list[Story]) -> Iterator[Row]:
    """Yield the rows that any story may want; the others are not even parsed."""
    reservations = {id for story in told for id in story.violation.reservations}
    pools = {str(story.violation.pool_no) for story in told if service == "inventory"}
    places = {
        place[1:] for story in told for place in story.violation.events if place[0] == service
    }
    seqs = {seq for _, seq in places}
    for line in export.text_lines(f"events.{service}.jsonl"):
        subject = _RESERVATION.search(line)
        pool = _POOL.search(line) if pools else None
        if (
            (subject is not None and subject[1] in reservations)
            or (pool is not None and pool[1] in pools)
            or (seqs and _seq(line) in seqs)
        ):
            yield json.loads(line)


def _seq(line: str) -> int:
    match = re.search(r'"seq": ?([0-9]+)', line)
    return int(match[1]) if match else 0


def _belongs(row: Row, place: EventPlace, violation: Violation) -> bool:
    until = violation.until
    if until is not None and until[:2] == place[:2] and place[2] > until[2]:
        return False
    if place in violation.events or row["subject"] in violation.reservations:
        return True
    if violation.pool_no is None or place[0] != "inventory":
        return False
    return bool(json.loads(row["data"]).get("pool_no") == violation.pool_no)


def _shorten(story: Story) -> None:
    """Leave out what cancels itself: holds whose units had come back before, older allotments."""
    data = {id(row): json.loads(row["data"]) for row in story.events}
    last = story.events[-1] if story.events else None
    back = {
        data[id(row)]["reservation_id"]
        for row in story.events
        if row["type"].endswith("units_released") and row is not last
    }
    allotments = [row for row in story.events if row["type"].endswith("allotment_set")]
    kept = [
        row
        for row in story.events
        if not (row["type"].endswith(_MOVES) and data[id(row)]["reservation_id"] in back)
        and not (row in allotments[:-1] and row is not last)
    ]
    story.left_out = len(story.events) - len(kept)
    story.events = kept


def _add_calls(export: Export, told: list[Story]) -> None:
    """Add the calls that are named, and those that speak of the story's reservations."""
    lines = {line for story in told for line in story.violation.calls}
    ids = {id for story in told for id in story.violation.reservations}
    pattern = re.compile("|".join(sorted(map(re.escape, ids)))) if ids else None
    for number, line in enumerate(export.text_lines("history.jsonl"), 1):
        named = set(pattern.findall(line)) if pattern is not None else set()
        if number not in lines and not named:
            continue
        call = {"line": number, **json.loads(line)}
        for story in told:
            wanted = story.violation
            if number in wanted.calls or (
                named & set(wanted.reservations) and call["op"] in ("reserve", "activate", "cancel")
            ):
                story.calls.append(call)

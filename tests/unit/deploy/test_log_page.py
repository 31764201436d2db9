"""docs/logs.md: every field that is logged is told, and every field told is logged."""

from __future__ import annotations

import re

from deploy.local.settings import CHECKOUT
from deploy.monitoring.log_page import log_calls, logs_page
from libs.events.codec import encode, ids_of
from libs.runtime.log_fields import ALWAYS, FIELDS
from services.gateway.http.access_log import fields_of
from tests.support.examples import PLACE_HOLD, envelope_of
from tests.unit.gateway.test_audit import mutation

FROM_LIBRARIES = {"logger"}
OF_LOST_LINES = {"lines"}


def used() -> set[str]:
    """Return every field that the code gives to a line."""
    found = {name for call in log_calls() for name in call.fields}
    found |= set(fields_of(mutation(replayed=True, word="SOLD_OUT")))
    found |= set(ids_of(encode(envelope_of(PLACE_HOLD))[0]))
    return found


def test_fields_are_those_of_the_list() -> None:
    """One name for one thing, everywhere."""
    assert set() == used() - set(FIELDS)
    assert set() == set(FIELDS) - used() - set(ALWAYS) - FROM_LIBRARIES - OF_LOST_LINES


def test_no_place_that_logs_is_overlooked() -> None:
    """As many places are found as the text of the code has."""
    places = re.compile(
        r"(?<![\w.])(?:self\._)?log\.(?:debug|info|warning|error|critical|exception)\("
    )
    written = sum(
        len(places.findall(path.read_text(encoding="utf-8")))
        for package in ("libs", "services")
        for path in (CHECKOUT / package).rglob("*.py")
    )
    named_by_variable = 1  # one place, two events
    of_the_access_log = 1
    assert written == len(log_calls()) - named_by_variable + of_the_access_log


def test_events_are_words_with_dots() -> None:
    """Lower case, from the area to the verb; each stands on the page."""
    page = logs_page()
    for call in log_calls():
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", call.event), call.event
        assert f"| `{call.event}` | {call.level} |" in page

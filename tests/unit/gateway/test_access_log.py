"""Lines of the access log: of the same form as all others, and without personal data."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import structlog
from structlog.testing import capture_logs

from libs.runtime.logs import configure_logs
from services.gateway.http.access_log import ConsoleLines, JsonLines, Which
from tests.unit.gateway.test_audit import COMMAND, RESERVATION, mutation, note

CALLS = (
    mutation(1, path_id=RESERVATION, replayed=True),
    note(2, request_id="ota_test_key_12345"),
    note(3, route="/healthz", status=200, word=None),
)


def written(which: Which) -> list[dict[str, Any]]:
    """Return the lines of the calls above."""
    stream = io.StringIO()
    JsonLines(which=which, service="gateway", version="0", stream=stream).write(CALLS)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_who_asked_for_what_and_what_came_of_it() -> None:
    """One object a call; the address is shortened, a key is never shown."""
    done, refused = written("on")
    assert {
        "event": "gateway.call.answered",
        "method": "POST",
        "route": "/api/ota/reserve",
        "status": 201,
        "duration_ms": 2.1,
        "partner_id": "p",
        "key_id": "k",
        "request_id": "req_1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "correlation_id": COMMAND,
        "address": "203.0.113.0/24",
        "replayed": True,
        "level": "info",
        "timestamp": "2026-01-05T04:00:00.001000Z",
        "service.name": "gateway",
        "service.version": "0",
    } == done
    assert ("INVALID_API_KEY", 401) == (refused["word"], refused["status"])
    assert "ota_test_key" not in json.dumps(refused)


@pytest.mark.parametrize("which, lines", [("on", 2), ("refused", 1), ("off", 0)])
def test_which_calls_have_a_line_is_configured(which: Which, lines: int) -> None:
    """All, those that were refused, or none; a health check that is well never has one."""
    assert which in get_args(Which)
    assert lines == len(written(which))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream for all logging, which is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_lines_have_the_fields_of_all_log_lines(stream: io.StringIO) -> None:
    """Whoever reads the logger's lines by field reads these as well."""
    configure_logs(service="gateway", version="0", stream=stream).info("something.happened")
    [line] = stream.getvalue().splitlines()
    assert set(json.loads(line)) <= set(written("on")[0])


def test_people_get_lines_for_people() -> None:
    """With the console format a call is a line like any other there."""
    with capture_logs() as logged:
        ConsoleLines(which="on").write(CALLS)
    assert [("gateway.call.answered", 201), ("gateway.call.answered", 401)] == [
        (line["event"], line["status"]) for line in logged
    ]

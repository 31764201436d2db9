"""Logs: one JSON object a line, the same for all loggers, and nothing that must not show."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
import structlog
from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from libs.runtime.config import SecretKey
from libs.runtime.log_fields import ALWAYS, FIELDS
from libs.runtime.logs import DENIED_KEYS, NOISY_LOGGERS, configure_logs, scrub
from libs.tickets.token import TicketClaims, TokenSigner

NAME, EMAIL, PHONE = "Chan Tai Man", "tai.man+vip@example.com.hk", "+852 9123 4567"
TOKEN = TokenSigner(bytes(32)).sign(
    TicketClaims.for_ticket(
        ticket_code="CRUISE-2025-FERRY-0123456789012",
        product_id=106,
        visit_date=None,
        day_class="weekday",
        customer_type="adult",
    )
)


@dataclass
class Payload:
    """A payload with personal data."""

    customer_name: str


class FullDisk(io.StringIO):
    """A stream that has no space left for a while."""

    full = False

    def write(self, text: str) -> int:
        """Write, or fail as a full disk does."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


class Model(BaseModel):
    """A wire model with personal data."""

    customer_name: str


class Capture:
    """A stream that logs are written to, and a logger that writes there."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.log = self.configure("json")

    def configure(
        self, log_format: Literal["json", "console"], level: str = "INFO"
    ) -> FilteringBoundLogger:
        """Set logging up again."""
        return configure_logs(
            service="inventory",
            version="1.2.3",
            level=level,
            log_format=log_format,
            stream=self.stream,
        )

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def capture() -> Iterator[Capture]:
    """Logging into memory; the process's logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    yield Capture()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_a_line_is_one_json_object(capture: Capture) -> None:
    """Each line says when, how serious, what, and who."""
    capture.log.info("ledger.batch.written", messages=3, note="two\nlines 香港")
    [line] = capture.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert {
        "level": "info",
        "event": "ledger.batch.written",
        "service.name": "inventory",
        "service.version": "1.2.3",
        "messages": 3,
        "note": "two\nlines 香港",
    } == line


def test_context_is_on_every_line(capture: Capture) -> None:
    """What is bound at the edge is on the lines below it, of either kind of logger."""
    structlog.contextvars.bind_contextvars(trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    capture.log.info("one")
    logging.getLogger("other").warning("two")
    trace_ids = {line["trace_id"] for line in capture.lines()}
    assert {"4bf92f3577b34da6a3ce929d0e0e4736"} == trace_ids


def test_the_standard_librarys_loggers_look_the_same(capture: Capture) -> None:
    """A library's line has the same keys, with its arguments filled in and redacted."""
    logging.getLogger("some.library").warning("cannot reach %s for %s", "broker", EMAIL)
    [line] = capture.lines()
    assert "cannot reach broker for [redacted]" == line["event"]
    assert ("warning", "some.library") == (line["level"], line["logger"])
    assert {"timestamp", "service.name", "service.version"} <= line.keys()


def test_noisy_libraries_are_heard_from_warning_on(capture: Capture) -> None:
    """The clients' chatter stays out, at any level of our own."""
    capture.configure("json", "DEBUG")
    for name in (*NOISY_LOGGERS, "aiokafka.consumer.fetcher"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert ["trouble"] * (len(NOISY_LOGGERS) + 1) == [each["event"] for each in capture.lines()]


def test_levels_below_the_chosen_one_are_silent(capture: Capture) -> None:
    """Both kinds of logger keep to the level."""
    log = capture.configure("json", "ERROR")
    log.warning("quiet")
    logging.getLogger("other").warning("quiet")
    log.error("loud")
    assert ["loud"] == [line["event"] for line in capture.lines()]


@pytest.mark.parametrize(
    "key",
    [
        "customer",
        "name",
        "customer.name",
        "Customer-Email",
        "email",
        "phone",
        "api_key",
        "X-API-Key",
        "authorization",
        "token",
        "qr_token",
        "payment_reference",
        "special_requests",
        "customer_reference",
        "dsn",
    ],
)
def test_values_under_denied_keys_never_show(capture: Capture, key: str) -> None:
    """Denied keys are redacted however they are spelt and however deep they lie."""
    capture.log.info("event", **{key: NAME})
    capture.log.info("event", request={"items": [{key: {"first": NAME}}]})
    assert NAME not in capture.stream.getvalue()
    assert 2 == capture.stream.getvalue().count("[redacted]")


def test_harmless_keys_stay(capture: Capture) -> None:
    """A key that only resembles a denied one is kept."""
    capture.log.info("event", topic_name="commands", customer_type="adult", tokens=10)
    [line] = capture.lines()
    assert "inventory" == line["service.name"]
    assert ("commands", "adult", 10) == (line["topic_name"], line["customer_type"], line["tokens"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key ota_test_key_12345!", "key [redacted]!"),
        (f"key otak_0a1b2c3d_{'aZ9' * 12}!", "key otak_0a1b2c3d_[redacted]!"),
        ("ota251103_key_67890", "[redacted]"),
        ("direct_web_key_11111", "[redacted]"),
        ("ota_full_access_key_99999", "[redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        (f"seed {'0f' * 32}", "seed [redacted]"),
        ("A" * 141, "[redacted]"),
        (f"ticket {TOKEN} was refused", "ticket [redacted] was refused"),
        (f"call {PHONE}, please", "call [redacted], please"),
        ("tel:+1-555-010-9999", "tel:[redacted]"),
        ("order CONF-JNS4KDGT", "order CONF-[redacted]"),
        (f"<{EMAIL}>", "<[redacted]>"),
        (f"Key (email)=({EMAIL}) already exists", "Key (email)=([redacted]) already exists"),
        ("postgresql://app:hunter2@db:5433/x", "postgresql://app:[redacted]@db:5433/x"),
        ("idempotency_key_reused", "idempotency_key_reused"),
        ("res_0M2P5JQ8T1V4W7X9Y3Z6A8B0CD", "res_0M2P5JQ8T1V4W7X9Y3Z6A8B0CD"),
        ("018f6f2e-7d1c-8a3b-9c4d-5e6f7a8b9c0d", "018f6f2e-7d1c-8a3b-9c4d-5e6f7a8b9c0d"),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("ORD-0123456789012", "ORD-0123456789012"),
        ("2026-01-05 04:00:00+08 2026-01-06", "2026-01-05 04:00:00+08 2026-01-06"),
        ("2026-01-05T04:00:00.123456+00:00", "2026-01-05T04:00:00.123456+00:00"),
    ],
)
def test_key_like_text_is_scrubbed(text: str, expected: str) -> None:
    """Keys, tokens, passwords and addresses are found inside any text; ids are left alone."""
    if "postgresql" in text:
        assert "hunter2" not in scrub(text)
    else:
        assert expected == scrub(text)


def test_no_field_of_ours_is_always_redacted() -> None:
    """A line under such a name would say nothing."""
    assert not DENIED_KEYS & set(FIELDS)


def test_tracebacks_are_scrubbed(capture: Capture) -> None:
    """An exception's text goes through the same filter, and no local variable is shown."""
    secret_local = NAME

    def fail() -> None:
        raise ValueError(f"no such customer {EMAIL}", len(secret_local))

    for log_format in ("json", "console"):
        log = capture.configure("json" if log_format == "json" else "console")
        try:
            fail()
        except ValueError:
            log.exception("failed")
            logging.getLogger("other").exception("failed too")
    text = capture.stream.getvalue()
    assert 4 == text.count("no such customer [redacted]")
    assert EMAIL not in text
    assert NAME not in text


def test_payloads_are_not_shown(capture: Capture) -> None:
    """Values that carry whole payloads show their type only; plain values their text."""
    capture.log.info(
        "event",
        payload_object=Payload(customer_name=NAME),
        model=Model(customer_name=NAME),
        raw=NAME.encode(),
        key=SecretKey(bytes(32)),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        error=ValueError(EMAIL),
        words={"one"},
        nothing=None,
    )
    [line] = capture.lines()
    assert NAME not in capture.stream.getvalue()
    assert {
        "payload_object": "<Payload>",
        "model": "<Model>",
        "raw": "<bytes>",
        "key": "<SecretKey>",
        "at": "2026-01-01 00:00:00+00:00",
        "error": "[redacted]",
        "words": ["one"],
        "nothing": None,
    }.items() <= line.items()


def test_endless_nesting_ends(capture: Capture) -> None:
    """A value that contains itself is logged to a limited depth."""
    endless: list[object] = []
    endless.append(endless)
    capture.log.info("event", endless=endless)
    assert [[[[["<list>"]]]]] == capture.lines()[0]["endless"]


def test_warnings_become_log_lines(capture: Capture) -> None:
    """Python's own warnings are routed too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old habit", DeprecationWarning, stacklevel=1)
    assert "old habit" in capture.lines()[0]["event"]


def test_people_get_readable_lines(capture: Capture) -> None:
    """The console format is no JSON but holds and hides the same."""
    log = capture.configure("console")
    log.info("ledger.batch.written", messages=3, email=EMAIL)
    text = capture.stream.getvalue()
    assert "ledger.batch.written" in text
    assert "messages" in text
    assert EMAIL not in text


def test_a_full_disk_ends_nothing() -> None:
    """Lines are lost while they can't be written, and how many is told as soon as one can be."""
    stream = FullDisk()
    log = configure_logs(service="gateway", version="1", stream=stream)
    stream.full = True
    log.info("lost.one")
    logging.getLogger("other").warning("lost two")
    stream.full = False
    log.info("there.again")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ["logs.lines.lost", "there.again"] == [line["event"] for line in lines]
    assert 2 == lines[0].pop("lines")
    assert set(ALWAYS) == set(lines[0])
    assert len(lines[1]["timestamp"]) == len(lines[0]["timestamp"])

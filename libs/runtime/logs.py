"""Structured logs: one JSON object a line on stdout, free of secrets and personal data.

structlog and the standard library's logging run through the same processors. Redaction is
the second line of defence; the first is that nobody logs payloads.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO, cast

import structlog
from pydantic import BaseModel
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

REDACTED = "[redacted]"
DEPTH_MAX = 5
"""Values nested deeper than this are not logged."""

DENIED_KEYS = frozenset(
    {
        "api_key",
        "authorization",
        "body",
        "card",
        "ciphertext",
        "confirmation_code",
        "cookie",
        "customer",
        "customer_details",
        "customer_email",
        "customer_name",
        "customer_phone",
        "customer_reference",
        "dsn",
        "email",
        "first_name",
        "headers",
        "idempotency_key",
        "last_name",
        "master_key",
        "name",
        "password",
        "payload",
        "payment_reference",
        "pepper",
        "phone",
        "qr_code",
        "qr_token",
        "secret",
        "seed",
        "set_cookie",
        "signature",
        "special_requests",
        "telephone",
        "token",
        "x_api_key",
    }
)
"""Values under these keys never reach a log; dots and dashes count as underscores."""

NOISY_LOGGERS = ("aiokafka", "aiohttp.access", "asyncio", "asyncpg")

_SEEDED_KEY = re.compile(r"\w{0,64}_key_\d{4,}")
_API_KEY = re.compile(r"(otak_[0-9a-z]{8}_)[0-9A-Za-z]+")
_LONG_SECRET = re.compile(r"[A-Za-z0-9]{43,}")
_BEARER = re.compile(r"(?i)(bearer)\s+\S+")
_DSN_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@")
_PHONE = re.compile(r"\+[1-9][\d ()-]{5,18}\d")
_CONFIRMATION = re.compile(r"(CONF-)[0-9A-Z]+")
_EMAIL = re.compile(r"[^\s@<>()\"',;:=]+@[^\s@<>()\"',;:=]+")


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace values under denied keys, and key-like strings and e-mail addresses anywhere."""
    return {key: _safe(key, value, 0) for key, value in event.items()}


def _safe(key: str, value: object, depth: int) -> object:
    if key.lower().replace("-", "_").replace(".", "_") in DENIED_KEYS:
        return REDACTED
    return _safe_value(value, depth)


def _safe_value(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return scrub(value)
    if depth >= DEPTH_MAX:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {str(key): _safe(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe_value(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | BaseModel) or dataclasses.is_dataclass(value):
        # Payloads: their text form would show every field.
        return f"<{type(value).__name__}>"
    return scrub(str(value))


def scrub(text: str) -> str:
    """Return *text* without what looks like a key, a token, a password or a customer's data."""
    if "@" in text:
        text = _DSN_PASSWORD.sub(rf"\1:{REDACTED}@", text)
        text = _EMAIL.sub(REDACTED, text)
    if "otak_" in text:
        text = _API_KEY.sub(rf"\1{REDACTED}", text)
    if "_key_" in text:
        text = _SEEDED_KEY.sub(REDACTED, text)
    if "earer" in text or "EARER" in text:
        text = _BEARER.sub(rf"\1 {REDACTED}", text)
    if "+" in text:
        text = _PHONE.sub(REDACTED, text)
    if "CONF-" in text:
        text = _CONFIRMATION.sub(rf"\1{REDACTED}", text)
    if len(text) >= 43:
        text = _LONG_SECRET.sub(REDACTED, text)
    return text


def _to_json(event: object, **_: object) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str)


class _Patient:
    """A stream that takes no line badly: a full disk of logs must not end requests or services.

    Lines that could not be written are counted, and told of once writing works again.
    """

    def __init__(self, stream: TextIO, identity: Mapping[str, str]) -> None:
        self._stream = stream
        self._identity = identity
        self._lost = 0

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        try:
            if self._lost and text.startswith("{"):
                lost = {"event": "logs.lines.lost", "level": "warning", "lines": self._lost}
                known = {**lost, "timestamp": _now(), **self._identity}
                self._stream.write(_to_json(known) + "\n")
                self._lost = 0
            return self._stream.write(text)
        except OSError:
            self._lost += 1
            return 0

    def isatty(self) -> bool:
        """Say whether a person reads along."""
        return self._stream.isatty()

    def flush(self) -> None:
        """Flush, if that can be done."""
        try:
            self._stream.flush()
        except OSError:
            self._lost += 1


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def configure_logs(
    *,
    service: str,
    version: str,
    level: str = "INFO",
    log_format: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
) -> FilteringBoundLogger:
    """Route all logging of the process to one stream (stdout) and return a logger.

    Call it once, before anything logs.
    """
    identity = {"service.name": service, "service.version": version}
    out = cast("TextIO", _Patient(sys.stdout if stream is None else stream, identity))

    def identify(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.update(identity)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        identify,
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = structlog.processors.JSONRenderer(serializer=_to_json)
    if log_format == "console":
        # The plain formatter: others print local variables, and with them personal data.
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger

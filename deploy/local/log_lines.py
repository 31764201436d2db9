"""One line of any process's log: its moment and level, and how people like to read it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_OTHERS: Final = {"warn": "warning", "log": "info", "notice": "info", "fatal": "critical"}
_OTHERS_TOO: Final = {"panic": "critical", "detail": "info", "hint": "info", "statement": "info"}
_NAMES: Final = {**{name: name for name in LEVELS}, **_OTHERS, **_OTHERS_TOO}
# What PostgreSQL, Kafka and Prometheus write, each in its own form.
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:[.,]\d+)?)")
_LEVEL: Final = re.compile(rf"(?i)\b(?:level=)?({'|'.join(_NAMES)})\b")
_HEAD_LENGTH: Final = 90
_COLOURS: Final = {"warning": "\033[33m", "error": "\033[31m", "critical": "\033[1;31m"}
_PLAIN: Final = "\033[0m"
_HIDDEN: Final = {"event", "level", "timestamp", "service.name", "service.version", "exception"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line as it stands, and what is known of it; *fields* are those of a JSON object."""

    text: str
    moment: str = ""
    level: str = ""
    fields: Mapping[str, Any] | None = None


def read_line(text: str) -> LogLine:
    """Return what a line says; one that begins nothing new has neither moment nor level."""
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except ValueError:
            fields = {}
        if isinstance(fields, dict) and "event" in fields:
            return LogLine(
                text=text,
                moment=_moment(str(fields.get("timestamp", ""))),
                level=str(fields.get("level", "info")),
                fields=fields,
            )
    moment = _moment(text[:_HEAD_LENGTH])
    level = _LEVEL.search(text[:_HEAD_LENGTH]) if moment else None
    return LogLine(
        text=text, moment=moment, level=_NAMES[level[1].lower()] if level is not None else ""
    )


def _moment(text: str) -> str:
    """Return a moment in a form that sorts, empty if there is none."""
    found = _MOMENT.search(text)
    return f"{found[1]}T{found[2].replace(',', '.')}" if found is not None else ""


def for_people(line: LogLine, *, colours: bool) -> str:
    """Return a JSON line as time, level, event and fields; any other as it stands."""
    if line.fields is None:
        return line.text
    level = f"{line.level.upper():<8}"
    if colours and line.level in _COLOURS:
        level = f"{_COLOURS[line.level]}{level}{_PLAIN}"
    told = [f"{line.moment[11:23]} {level} {line.fields['event']}"]
    told += [
        f"{name}={_value(value)}"
        for name, value in line.fields.items()
        if name not in _HIDDEN and value is not None
    ]
    traceback = str(line.fields.get("exception") or "").splitlines()
    return "\n    ".join(["  ".join(told), *traceback])


def _value(value: object) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""What a generated request needs beside what the document can say.

Each rule here keeps generated data away from something that only a live system knows. A rule puts
one valid value in the place of another: what was made wrong on purpose stays wrong, and must be
refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import schemathesis

# A source of its own: Hypothesis sets the module `random` back for each example.
CHANCE = Random(os.environ.get("OTA_FUZZ_SEED"))

ADDONS = ("tokens-plan-a", "tokens-plan-b", "tokens-plan-c")
VALID_KEY = re.compile(r'[!#-~][!-~]{0,199}|"([!#-\[\]-~]|\\["\\]){1,199}"')
SIZE = re.compile(r"[1-9][0-9]?|100")
CURSOR_LENGTH_MAX = 512
CUSTOMER_TYPES = {"adult", "child", "elderly"}
UNITS_MAX = 100


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Make a request that the document allows one that the system can grant."""
    case.headers = _headers(dict(case.headers or {}))
    if isinstance(case.query, dict):
        _unpaged(case.query)
    if isinstance(case.body, dict):
        case.body = {name: _grantable(name, value) for name, value in case.body.items()}


def _headers(headers: dict[str, Any]) -> dict[str, Any]:
    # The pricing API takes 120 calls a minute from one address, which is not what is tested here.
    headers["X-Forwarded-For"] = ".".join(str(CHANCE.randint(1, 254)) for _ in range(4))
    # A position carries our seal.
    headers.pop("OTA-Position", None)
    # A key that an earlier generated request has used with another body is a 422, rightly.
    key = str(headers.get("Idempotency-Key", ""))
    if VALID_KEY.fullmatch(key):
        opening = '"' if key.startswith('"') else ""
        headers["Idempotency-Key"] = opening + CHANCE.randbytes(8).hex() + key.removeprefix(opening)
    return headers


def _unpaged(query: dict[str, Any]) -> None:
    # A cursor carries our seal, and it excludes `page`.
    if 1 <= len(str(query.get("cursor", ""))) <= CURSOR_LENGTH_MAX:
        del query["cursor"]
    # Two names of the same thing must not contradict each other.
    if SIZE.fullmatch(str(query.get("limit"))) and SIZE.fullmatch(str(query.get("page_size"))):
        query["limit"] = query["page_size"]


def _grantable(name: str, value: Any) -> Any:
    """Move days and times into the future, name add-ons that there are, type all units by one word.

    How many units a reservation has is not in the document.
    """
    if name == "visit_date" and _reads(date.fromisoformat, value):
        today = datetime.now(ZoneInfo("Asia/Hong_Kong")).date()
        days = date.fromisoformat(value).toordinal() % 366
        return (today + timedelta(days=days)).isoformat()
    if name == "reservation_expires_at" and _reads(datetime.fromisoformat, value):
        return (datetime.now(UTC) + timedelta(minutes=10 + CHANCE.randrange(10_000))).isoformat()
    if name == "customer_type" and _are_types(value):
        return value[0]
    if name == "addons" and isinstance(value, list):
        return [
            {**addon, "addon_id": ADDONS[index % len(ADDONS)]} if _is_addon(addon) else addon
            for index, addon in enumerate(value)
        ]
    return value


def _are_types(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= UNITS_MAX
        and all(isinstance(word, str) and word in CUSTOMER_TYPES for word in value)
    )


def _is_addon(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("addon_id"), str)


def _reads(read: Callable[[str], object], value: Any) -> bool:
    try:
        read(value)
    except (TypeError, ValueError):
        return False
    return True

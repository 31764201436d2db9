"""Client calls as the history has them, and what they say in the contract's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ota_checker.identity import short_digest
from ota_checker.reading import Row, Unreadable

ONE_GATEWAY = ""
SHARED_GATEWAY = "shared"
MUTATIONS = frozenset({"reserve", "activate", "cancel"})
STATE_REFUSALS = frozenset(
    {
        *("SOLD_OUT", "HOLD_LIMIT_REACHED", "RESERVATION_EXPIRED", "RESERVATION_CANCELLED"),
        *("ALREADY_ACTIVATED", "CANNOT_CANCEL_ACTIVATED"),
    }
)
"""409s that are decided, recorded and given again."""

_IMAGES = re.compile(r'"qr_code":"[^"]*",')
_RESERVATION_PATH = re.compile(r"/reservations/([^/]+)")
_ORDER_PATH = re.compile(r"/orders/([^/]+)")


@dataclass(slots=True)
class Call:
    """One line of the history."""

    line: int
    client: str
    partner: str | None
    op: str
    method: str
    path: str
    key: str | None
    request_text: str
    invoked_ns: int
    completed_ns: int
    status: int | None
    body_text: str
    """The answer without QR images: they are drawn from tokens, and large."""
    gateway: str
    told: str | None
    """The OTA-Position that the client sent."""
    answered: str | None
    """The OTA-Position that it got."""
    etag: str | None
    if_none_match: str | None
    limit: int | None
    location: str
    replayed: bool
    _body: Any = None

    @property
    def body(self) -> Any:
        """The answer's JSON; None if it has none."""
        if self._body is None and self.body_text:
            try:
                self._body = json.loads(self.body_text)
            except ValueError:
                return None
        return self._body

    @property
    def request(self) -> Mapping[str, Any]:
        """The request's JSON object; empty if it was none."""
        try:
            found = json.loads(self.request_text) if self.request_text else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def word(self) -> str:
        """The error word, empty if there is none."""
        body = self.body
        return str(body.get("code") or body.get("error") or "") if isinstance(body, dict) else ""

    @property
    def unknown(self) -> bool:
        """Whether the client can't know what came of it."""
        return self.status is None or self.status in (500, 502, 504)

    @property
    def named_reservation(self) -> str | None:
        """The reservation in the path."""
        match = _RESERVATION_PATH.search(self.path)
        return match[1] if match else None

    @property
    def named_order(self) -> str | None:
        """The order in the path."""
        match = _ORDER_PATH.search(self.path)
        return match[1] if match else None

    def answer_digest(self) -> int:
        """Return what tells answers apart: status and bytes."""
        return short_digest(f"{self.status} {self.body_text}")

    def request_digest(self) -> int:
        """Return what tells requests apart; spaces and order of fields don't count."""
        try:
            same = json.dumps(json.loads(self.request_text), sort_keys=True)
        except ValueError:
            same = self.request_text
        return short_digest(same)


def call_of(row: Row, line: int) -> Call:
    """Return a line of the history as a call; raises Unreadable."""
    try:
        headers = {str(k).lower(): v for k, v in (row.get("headers") or {}).items()}
        sent = {str(k).lower(): v for k, v in (row.get("request_headers") or {}).items()}
        limit = headers.get("x-ratelimit-limit")
        return Call(
            line=line,
            client=str(row["client"]),
            partner=row["partner"],
            op=row["op"],
            method=row["method"],
            path=row["path"].partition("?")[0],
            key=row.get("key"),
            request_text=_text(row.get("request")),
            invoked_ns=row["invoked_ns"],
            completed_ns=row["completed_ns"],
            status=row["status"],
            body_text=_IMAGES.sub("", _text(row.get("body"))),
            gateway=row.get("gateway") or ONE_GATEWAY,
            told=sent.get("ota-position"),
            answered=headers.get("ota-position"),
            etag=headers.get("etag"),
            if_none_match=sent.get("if-none-match"),
            limit=int(limit) if limit is not None else None,
            location=str(headers.get("location") or ""),
            replayed=headers.get("idempotent-replayed") == "true",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"history.jsonl line {line}: {type(error).__name__} {error}") from error


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

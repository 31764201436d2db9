"""Signed sessions of operators, and the tokens that show that a form came from our page.

A session is in the cookie alone, so it costs no table. It ends by time, and by the operator's
generation: whoever checks one compares that with the database. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

COOKIE = "ota_console"
_FORM = b"form"
_SESSION = b"session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is signed in, since which generation of theirs, and until when (seconds since 1970)."""

    name: str
    generation: int
    ends_s: int
    id: str


class Sessions:
    """Signs and reads sessions under *key*."""

    def __init__(self, *, key: bytes, length: timedelta) -> None:
        self._key = key
        self._length = length

    def begin(self, *, name: str, generation: int, now: datetime, random: bytes) -> Session:
        """Return a new session."""
        ends_s = int((now + self._length).timestamp())
        return Session(name=name, generation=generation, ends_s=ends_s, id=random.hex())

    def write(self, session: Session) -> str:
        """Return what the cookie holds."""
        body = json.dumps(asdict(session), separators=(",", ":")).encode()
        return f"{_text(body)}.{_text(self._mac(_SESSION, body))}"

    def read(self, cookie: str, *, now: datetime) -> Session | None:
        """Return the session in a cookie; None for one that is not ours, or over."""
        try:
            given, mac = cookie.split(".")
            body = _bytes(given)
            if not hmac.compare_digest(_bytes(mac), self._mac(_SESSION, body)):
                return None
        except (ValueError, binascii.Error):
            return None
        session = Session(**json.loads(body))
        return session if now.timestamp() < session.ends_s else None

    def form_token(self, session: Session) -> str:
        """Return the token that each form of this session carries."""
        return _text(self._mac(_FORM, session.id.encode()))

    def is_form_token(self, session: Session, given: str) -> bool:
        """Say whether a form carries the token of its session."""
        return hmac.compare_digest(given.encode(), self.form_token(session).encode())

    def _mac(self, purpose: bytes, text: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\n" + text, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

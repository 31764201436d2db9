"""Operators of the console: what they may do, and how they prove who they are.

A password is kept as its scrypt hash, a one-time code (random, so a quick hash does) until it
is used or over. Pure: salts and codes are made by the caller, and so are instants.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Role = Literal["viewer", "operator"]
ROLES: tuple[str, ...] = get_args(Role)

NAME_FORM = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 200
SALT_BYTES = 16
CODE_BYTES = 20
CODE_AGE_MAX = timedelta(minutes=15)

# 16 MiB and about 200 ms: one of the settings that the OWASP cheat sheet gives.
_N, _R, _P = 1 << 14, 8, 5
_LENGTH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody who may sign in.

    *generation* rises with each change of role or password and with each removal: sessions of
    an older one are over.
    """

    name: str
    role: Role
    generation: int
    password_hash: str | None = None
    created_at: datetime
    removed_at: datetime | None = None

    @property
    def may_act(self) -> bool:
        """Whether more than looking is allowed."""
        return self.role == "operator"


def password_fault(password: str) -> str | None:
    """Say why a password can't be taken, None if it can."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        return f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
    return None


def hash_password(password: str, *, salt: bytes) -> str:
    """Return what is stored of a password; takes a fifth of a second: not in an event loop."""
    return _stored(salt, _derive(password, salt, n=_N, r=_R, p=_P))


def nobodys_hash(random: Callable[[int], bytes]) -> str:
    """Return what fits no password and is as slow to compare with as any; made at once."""
    return _stored(random(SALT_BYTES), random(_LENGTH_BYTES))


def password_matches(password: str, stored: str) -> bool:
    """Say whether *password* is the one that *stored* was made from; as slow as hashing."""
    try:
        kind, n, r, p, salt, expected = stored.split("$")
        parameters = {"n": int(n), "r": int(r), "p": int(p)}
        derived = _derive(password, base64.b64decode(salt), **parameters)
        return kind == "scrypt" and hmac.compare_digest(derived, base64.b64decode(expected))
    except (ValueError, binascii.Error):
        return False


def code_text(random: bytes) -> str:
    """Return a one-time code as people paste it."""
    return base64.b32encode(random).decode().rstrip("=").lower()


def code_hash(code: str) -> bytes:
    """Return what is stored of a one-time code; its spelling is forgiven."""
    return hashlib.sha256(code.strip().lower().encode()).digest()


def _derive(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, maxmem=64 * 1024 * 1024, dklen=_LENGTH_BYTES
    )


def _stored(salt: bytes, derived: bytes) -> str:
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(derived)}"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

"""Request headers: who calls, under which request id, in which trace, what is known already."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from multidict import CIMultiDictProxy, istr

from services.gateway.domain.refusal import Refusal

Headers = CIMultiDictProxy[str]
Random = Callable[[int], bytes]

# Names of each request and each answer; an istr is folded once and not each time.
API_KEY = istr("X-API-Key")
AUTHORIZATION = istr("Authorization")
CONTENT_ENCODING = istr("Content-Encoding")
CONTENT_TYPE = istr("Content-Type")
FORWARDED_FOR = istr("X-Forwarded-For")
IDEMPOTENCY_KEY = istr("Idempotency-Key")
POSITION = istr("OTA-Position")
REQUEST_ID = istr("X-Request-Id")
TRACEPARENT = istr("traceparent")
CACHE_CONTROL = istr("Cache-Control")
IGNORED = istr("OTA-Ignored")
LOCATION = istr("Location")
RECEIPT = istr("OTA-Receipt")
RATE_LIMIT = istr("RateLimit")
RATE_LIMIT_POLICY = istr("RateLimit-Policy")
REPLAYED = istr("Idempotent-Replayed")
SERVER = istr("Server")
X_LIMIT = istr("X-RateLimit-Limit")
X_REMAINING = istr("X-RateLimit-Remaining")
X_RESET = istr("X-RateLimit-Reset")

IGNORED_MAX = 20
_NAME_LENGTH_MAX = 64
_KEY_PARAMETERS = frozenset(
    {"api_key", "apikey", "api-key", "x-api-key", "x_api_key", "access_token"}
)

# Sane: short, and nothing in it that a log, a header or a person's address could choke on.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")
# W3C Trace Context, version 00 and what may follow it.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
)

_BEARER = "bearer "

KEY_IN_QUERY = Refusal(
    word="INVALID_REQUEST",
    detail="An API key must never be part of the address; send it in the header X-API-Key.",
)
KEY_REQUIRED = Refusal(
    word="API_KEY_REQUIRED",
    detail="Send your API key in the header X-API-Key, or as Authorization: Bearer.",
)
KEY_INVALID = Refusal(word="INVALID_API_KEY", detail="The API key is unknown, expired or revoked.")
ACCOUNT_SUSPENDED = Refusal(
    word="INVALID_API_KEY",
    detail="Your account is suspended; the operator can resume it, your keys stay good.",
)
KEYS_DIFFER = Refusal(
    word="INVALID_API_KEY", detail="X-API-Key and Authorization carry different keys; send one."
)


def request_id(headers: Headers, *, random: Random) -> str:
    """Return the caller's request id if it is a sane one, else a new one."""
    given = headers.get(REQUEST_ID)
    if given is not None and _REQUEST_ID.match(given):
        return given
    return f"req_{random(12).hex()}"


def trace_context(
    headers: Headers, *, random: Random, begin: Callable[[str], str] | None = None
) -> str:
    """Return the ``traceparent`` of what we do: in the caller's trace, or in a new one.

    *begin* decides whether a new trace is sampled; without it none is.
    """
    given = headers.get(TRACEPARENT)
    match = _TRACEPARENT.match(given) if given is not None else None
    if match is None:
        ids = random(24).hex()
        new = f"00-{ids[:32]}-{ids[32:]}-00"
        return new if begin is None else begin(new)
    return f"00-{match['trace']}-{random(8).hex()}-{match['flags']}"


def has_key_parameter(names: tuple[str, ...]) -> bool:
    """Say whether a query parameter is named like an API key."""
    return any(name.lower() in _KEY_PARAMETERS for name in names)


def api_key(headers: Headers) -> str | Refusal:
    """Return the one key that a request carries, in either header or in both alike."""
    keys = set(headers.getall(API_KEY, ()))
    for authorization in headers.getall(AUTHORIZATION, ()):
        if authorization[: len(_BEARER)].lower() == _BEARER:
            keys.add(authorization[len(_BEARER) :].strip())
    if len(keys) > 1:
        return KEYS_DIFFER
    return (keys.pop() if keys else None) or KEY_REQUIRED


def tag_matches(given: str | None, etag: str) -> bool:
    """Compare entity tags weakly, as RFC 9110 (13.1.2) asks for GET."""
    if given is None:
        return False
    bare = etag.removeprefix("W/")
    return given.strip() == "*" or any(
        tag.strip().removeprefix("W/") == bare for tag in given.split(",")
    )


def ignored_names(names: list[str]) -> str:
    """Return names as the value of ``OTA-Ignored``; those that no header can hold are escaped."""
    shown = [quote(name[:_NAME_LENGTH_MAX], safe="[]") for name in names[:IGNORED_MAX]]
    return ", ".join(name or '""' for name in shown)

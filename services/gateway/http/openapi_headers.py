"""Headers of requests and answers, as the document tells them."""

from __future__ import annotations

from services.gateway.http.openapi_schema import Schema, text, whole

_BARE_KEY = r"[!#-~][!-~]{0,254}"
_QUOTED_KEY = r'"([!#-\[\]-~]|\\["\\]){1,255}"'

REQUEST_HEADERS: dict[str, tuple[str, Schema]] = {
    "X-Request-Id": (
        (
            "An id of your own for this request, at most 128 of `A-Z a-z 0-9 . _ : / + = -`. It"
            " comes back in the answer and stands in our audit trail; another value is replaced"
            " by ours."
        ),
        text(),
    ),
    "traceparent": (
        "W3C Trace Context: what we do lies in your trace. An invalid one starts a new trace.",
        text(),
    ),
    "OTA-Position": (
        (
            "The `OTA-Position` of an earlier answer. A read with it shows at least what that write"
            " did, on whichever gateway it arrives; on the same gateway that is so without it. A"
            " write needs none, and its answer covers what it was sent. Opaque: send it as it was"
            " given, several (64 at most) separated by commas."
        ),
        text(),
    ),
    "Idempotency-Key": (
        (
            "Names this request, so that a repeat has no second effect: 1 to 255 visible"
            " characters, bare or quoted, best a UUID such as"
            " `8e03978e-40d5-43e8-bc93-6894a57f9324`. Same key, same body: the first answer"
            " again, byte for byte. Same key, another body: 422. Spaces and the order of fields do"
            " not matter, but how a value is written does: `1.0` instead of `1` is another body."
            " Kept for 24 hours at least. Without one we make one and return it."
        ),
        text(
            pattern=f"^({_BARE_KEY}|{_QUOTED_KEY})$",
        ),
    ),
    "If-None-Match": (
        "The `ETag` of an earlier answer: 304 without a body if nothing has changed since.",
        text(),
    ),
}
"""By name: what each is for, and its schema. None is required."""

ANSWER_HEADERS: dict[str, tuple[str, Schema]] = {
    "X-Request-Id": ("The request's id: yours, or one that we made.", text(minLength=1)),
    "traceparent": (
        (
            "W3C Trace Context of what we did: in your trace if you sent one, else in a new one."
            " Name it when you ask us about a call."
        ),
        text(pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"),
    ),
    "Idempotency-Key": (
        "The key under which the outcome is kept: yours without quotes, or one that we made.",
        text(minLength=1),
    ),
    "Idempotent-Replayed": (
        "There, and `true`, when this is the answer to an earlier request with the same key.",
        {"type": "string", "enum": ["true"]},
    ),
    "OTA-Position": (
        (
            "How far the system was after this; opaque. Send it back to read what you wrote from"
            " any gateway. It covers those that its request had sent; keep it beside any others."
        ),
        text(minLength=1),
    ),
    "OTA-Receipt": (
        (
            "Evidence of what was recorded: the position and the hash of its event, sealed for"
            " you. Keep it; `GET /api/ota/receipts/{receipt}` checks it. The same for a repeat."
        ),
        text(pattern="^[A-Za-z0-9_-]{86}$"),
    ),
    "OTA-Ignored": (
        (
            "Names of fields and query parameters that we do not know and passed over, separated by"
            " commas, the first 20 of them. Look at it while you integrate: a misspelt `visit_date`"
            " changes a price."
        ),
        text(minLength=1),
    ),
    "Location": (
        "Path of what was made, or of the page that is meant.",
        text(pattern="^/(api/ota|problems)/"),
    ),
    "ETag": ("Changes with what the answer shows.", text(pattern='^(W/)?"')),
    "Cache-Control": ("How long the answer may be kept.", text(minLength=1)),
    "Vary": ("The request headers that the answer depends on.", text(minLength=1)),
    "Retry-After": ("Seconds to wait before a repeat.", whole(minimum=0)),
    "WWW-Authenticate": ("How to authenticate.", text(pattern="^Bearer")),
    "RateLimit-Policy": (
        "Your limit: `q` calls in any `w` seconds.",
        text(example='"default";q=100;w=60'),
    ),
    "RateLimit": (
        "What is left: `r` calls; more after `t` seconds.",
        text(example='"default";r=97;t=12'),
    ),
    "X-RateLimit-Limit": ("Calls in any 60 seconds.", whole(minimum=0)),
    "X-RateLimit-Remaining": ("Calls left now.", whole(minimum=0)),
    "X-RateLimit-Reset": ("Seconds until more are left.", whole(minimum=0)),
}

OF_ALL_ANSWERS = ("X-Request-Id", "traceparent")
OF_CALLERS = (
    "RateLimit-Policy",
    "RateLimit",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
"""Of every answer once the key was valid."""

REQUIRED = frozenset({"X-Request-Id", "traceparent", "Location", "ETag", "WWW-Authenticate"})
"""Never missing where an answer has them at all."""

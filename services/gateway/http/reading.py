"""Reading a request's body within its limits."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.gateway.domain.refusal import Refusal
from services.gateway.http.bodies import read_object
from services.gateway.http.exchange import JSON, Exchange
from services.gateway.http.headers import CONTENT_ENCODING, CONTENT_TYPE

BODY_BYTES_MAX = 64 * 1024
BODY_TIMEOUT_S = 10.0

TOO_LARGE = Refusal(
    word="PAYLOAD_TOO_LARGE",
    detail=f"The body is larger than {BODY_BYTES_MAX} bytes.",
    extra={"limit_bytes": BODY_BYTES_MAX},
)
NOT_JSON_TYPE = Refusal(
    word="UNSUPPORTED_MEDIA_TYPE", detail="Send Content-Type: application/json, in UTF-8."
)
COMPRESSED = Refusal(
    word="UNSUPPORTED_MEDIA_TYPE", detail="Send the body without Content-Encoding."
)
EMPTY = Refusal(word="INVALID_REQUEST", detail="The body is empty; send a JSON object.")
BROKEN = Refusal(
    word="INVALID_REQUEST", detail="The body broke off, or its chunks are not well-formed."
)
TOO_SLOW = Refusal(
    word="REQUEST_TIMEOUT", detail=f"The body was not complete after {BODY_TIMEOUT_S:.0f} seconds."
)


async def read_body(exchange: Exchange, *, required: bool) -> dict[str, object] | Refusal:
    """Return the JSON object that a request carries, an empty one if it needs none.

    The time that the client takes to send it does not count against our answer.
    """
    request = exchange.request
    length = request.content_length
    if length == 0 or not request.body_exists:
        return EMPTY if required else {}
    if length is not None and length > BODY_BYTES_MAX:
        return TOO_LARGE
    content_type = request.headers.get(CONTENT_TYPE)
    if content_type is not None and content_type != JSON and not _is_json(content_type):
        return NOT_JSON_TYPE
    if request.headers.get(CONTENT_ENCODING, "identity").lower() != "identity":
        return COMPRESSED
    # Nearly always all of it has come with the head: then there is nothing to wait for.
    if request.content.is_eof():
        raw = request.content.read_nowait()
        return _read(raw, required=required) if len(raw) <= BODY_BYTES_MAX else TOO_LARGE
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        async with asyncio.timeout_at(began + BODY_TIMEOUT_S):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return TOO_LARGE
    except TimeoutError:
        request.protocol.close()  # after the answer: what follows is the rest of this body
        return TOO_SLOW
    except (web.RequestPayloadError, ConnectionError):
        request.protocol.close()
        return BROKEN
    exchange.arrived += clock() - began
    return _read(raw, required=required)


def _read(raw: bytes, *, required: bool) -> dict[str, object] | Refusal:
    if not raw:
        return EMPTY if required else {}
    return read_object(raw)


def _is_json(content_type: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part[len("charset=") :] for part in parameters if part.startswith("charset=")]
    return kind in (JSON, "") and all(
        charset.strip('"') in ("utf-8", "utf8", "us-ascii") for charset in charsets
    )

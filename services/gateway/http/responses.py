"""Answers and refusals as HTTP responses with their headers."""

from __future__ import annotations

from aiohttp import web

from libs.runtime.problem import CONTENT_TYPE, FieldError, Problem
from services.gateway.app.positions import PositionSeal, mark_of, merged
from services.gateway.app.receipts import ReceiptSeal
from services.gateway.domain.refusal import Refusal
from services.gateway.http import headers as names
from services.gateway.http.exchange import Answer, Exchange

SERVER = "ota"
CHALLENGE = 'Bearer realm="OTA partner API"'


def respond(
    exchange: Exchange, content: Answer | Refusal, *, seal: PositionSeal, receipts: ReceiptSeal
) -> web.Response:
    """Return the response to a request, with what every answer carries."""
    headers: dict[str, str] = {
        names.SERVER: SERVER,
        names.REQUEST_ID: exchange.request_id,
        names.TRACEPARENT: exchange.traceparent,
    }
    if exchange.limits is not None:
        headers.update(exchange.limits)
    if exchange.idempotency_key is not None:
        headers[names.IDEMPOTENCY_KEY] = exchange.idempotency_key
    if exchange.replayed:
        headers[names.REPLAYED] = "true"
    # A partition without any event has no position to tell.
    if exchange.reply is not None and (
        position := seal.encode_marks(merged(exchange.marks, mark_of(exchange.reply)))
    ):
        headers[names.POSITION] = position
    if exchange.ignored:
        headers[names.IGNORED] = names.ignored_names(exchange.ignored)
    if isinstance(content, Refusal):
        return _refused(exchange, content, headers)
    if exchange.reply is not None and exchange.caller is not None:
        receipt = receipts.of_reply(exchange.reply, partner_id=exchange.caller.partner_id)
        if receipt is not None:
            headers[names.RECEIPT] = receipt
    headers[names.CACHE_CONTROL] = "no-store"
    headers.update(content.headers)
    if not content.body:
        return web.Response(status=content.status, headers=headers)
    headers[names.CONTENT_TYPE] = content.content_type
    return web.Response(status=content.status, body=content.body, headers=headers)


def _refused(exchange: Exchange, refusal: Refusal, headers: dict[str, str]) -> web.Response:
    extra = dict(refusal.extra)
    if refusal.retry_after_s is not None:
        extra["retry_after"] = refusal.retry_after_s
        headers["Retry-After"] = str(refusal.retry_after_s)
    problem = Problem(
        word=refusal.word,
        detail=refusal.detail,
        extra=extra,
        errors=tuple(
            FieldError(pointer=fault.pointer, detail=fault.detail) for fault in refusal.faults
        ),
    )
    if problem.status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if refusal.word == "METHOD_NOT_ALLOWED":
        headers["Allow"] = ", ".join(map(str, refusal.extra["allowed_methods"]))  # type: ignore[call-overload]  # a list
    headers[names.CONTENT_TYPE] = CONTENT_TYPE
    headers[names.CACHE_CONTROL] = "no-store"
    ours = problem.status >= 500  # the id is for whoever looks into it; a header has it always
    body = problem.render(
        instance=exchange.request.path, request_id=exchange.request_id if ours else None
    )
    return web.Response(status=problem.status, body=body, headers=headers)

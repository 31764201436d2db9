"""The chain that every request passes, in the contract's order of refusals.

Route (404, 405), key (400, 401), limit (429), permission (403), body (413, 415, 400,
422), then state (404, 409). One pass, no layers: the gateway's CPU is the system's
bottleneck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from aiohttp import hdrs, web

from libs.events.requests import NotExecuted, OutcomeUnknown, Overloaded
from libs.kernel.ids import command_id
from libs.runtime.metrics import Metrics
from libs.runtime.tracing import Tracing
from services.gateway.app.audit import AuditTrail
from services.gateway.app.call import Call, Write
from services.gateway.app.directory import Directory
from services.gateway.app.positions import PositionSeal
from services.gateway.app.receipts import ReceiptSeal
from services.gateway.domain.failure import StoreUnavailable, ViewBehind
from services.gateway.domain.idempotency import LENGTH_MAX, parse_key
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.partner import Caller, Ended
from services.gateway.domain.refusal import Refusal, invalid_parameter
from services.gateway.http import headers, reading
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import Answer, Exchange, note_of
from services.gateway.http.limits import CallLimits
from services.gateway.http.measures import PartnerCalls
from services.gateway.http.parameters import NO_PARAMETERS, Parameters, read_query
from services.gateway.http.responses import respond
from services.gateway.http.turns import Turns

VIEW_WAIT_S = 1.5
HEALTH_PATH = "/healthz"
ANSWER_WAIT_S = 1.8
"""An answer comes within 2 s; the rest is for rendering and sending it."""

EXEMPLAR_FROM_S = 0.1
EXEMPLAR_EVERY_S = 1.0
"""Which durations carry the id of their trace: slow ones, and now and then any."""

OTHER_METHOD = "OTHER"
"""What metrics call a method that is not HTTP's own: each would be a series for good."""

log = structlog.get_logger()

UNCONFIRMED = Refusal(
    word="NOT_EXECUTED",
    detail="Your key can't be confirmed at the moment; nothing was done.",
    retry_after_s=1,
)
NOT_EXECUTED = Refusal(
    word="NOT_EXECUTED",
    detail="A part of the system is not available; nothing was done.",
    retry_after_s=1,
)
OVERLOADED = Refusal(
    word="NOT_EXECUTED",
    detail="Too many requests are waiting for this product's stock; nothing was done.",
    retry_after_s=1,
)
LATE = Refusal(
    word="NOT_EXECUTED",
    detail="More requests come than can be looked at; nothing was done.",
    retry_after_s=1,
)
OUTCOME_UNKNOWN = Refusal(
    word="OUTCOME_UNKNOWN",
    detail="The outcome is not known yet; repeat with the same Idempotency-Key to learn it.",
    retry_after_s=1,
)


class Edge:
    """Takes requests in and gives answers out; knows no use case."""

    def __init__(
        self,
        *,
        directory: Directory,
        hashes: KeyedHashes,
        seal: PositionSeal,
        receipts: ReceiptSeal,
        metrics: Metrics,
        limits: CallLimits,
        audit: AuditTrail,
        now: Callable[[], datetime],
        random: headers.Random,
        tracing: Tracing | None = None,
    ) -> None:
        self._directory = directory
        self._hashes = hashes
        self._seal = seal
        self._receipts = receipts
        self._durations = metrics.http_server_request_duration_seconds
        self._partner_calls = PartnerCalls(metrics)
        self._exemplar_at = 0.0
        self._unknown_outcomes = metrics.commands_unknown_outcome
        self._shed = metrics.commands_shed
        self._late = metrics.requests_shed
        self._turns = Turns()
        self._limits = limits
        self._audit = audit
        self._now = now
        self._random = random
        self._tracing = tracing
        self._begin_trace = None if tracing is None else tracing.begin
        self._unmatched = Endpoint(method="", path="unmatched")
        self._unreadable = Endpoint(method="", path="unreadable")

    async def serve(
        self, endpoint: Endpoint, request: web.BaseRequest, path_id: str | None = None
    ) -> web.Response:
        """Answer a request for an endpoint; *path_id* is what its path has in the variable part."""
        exchange = self._begin(request, endpoint.query_names)
        exchange.path_id = path_id
        content: Answer | Refusal
        turn = self._turns.enter()
        try:
            if turn is None or endpoint.public is not None or await turn:
                content = await self._answer(endpoint, exchange)
            else:
                self._late.inc()
                content = LATE
        except Overloaded:  # no line for each: the sender logs how many there were
            self._shed.inc()
            exchange.command_id = None  # nothing was carried out: alike refusals share a record
            content = OVERLOADED
        except (StoreUnavailable, ViewBehind, NotExecuted) as error:
            log.warning(
                "gateway.request.not_executed", reason=str(error), **_named(endpoint, exchange)
            )
            content = NOT_EXECUTED
        except OutcomeUnknown:
            log.warning("gateway.request.outcome_unknown", **_named(endpoint, exchange))
            self._unknown_outcomes.inc()
            content = OUTCOME_UNKNOWN
        except Exception:
            log.exception("gateway.request.failed", **_named(endpoint, exchange))
            content = _failed(exchange)
        finally:
            self._turns.leave()
        return self._end(endpoint, exchange, content)

    async def refuse_unmatched(
        self, request: web.BaseRequest, *, allowed: Sequence[str]
    ) -> web.Response:
        """Answer a request for no endpoint; *allowed* are the methods that the address takes."""
        exchange = self._begin(request)
        if allowed:
            refusal = Refusal(
                word="METHOD_NOT_ALLOWED",
                detail=f"This address takes {', '.join(allowed)}.",
                extra={"allowed_methods": allowed},
            )
        else:
            refusal = Refusal(word="NOT_FOUND", detail="There is nothing at this address.")
        limited = self._limits.take_address(exchange.address)
        return self._end(self._unmatched, exchange, limited or refusal)

    def refuse(self, request: web.BaseRequest, refusal: Refusal) -> web.Response:
        """Answer a request that could not even be read; most of it is unknown then."""
        return self._end(self._unreadable, self._begin(request), refusal)

    def _begin(self, request: web.BaseRequest, declared: frozenset[str] = frozenset()) -> Exchange:
        return Exchange(
            request=request,
            request_id=headers.request_id(request.headers, random=self._random),
            traceparent=headers.trace_context(
                request.headers, random=self._random, begin=self._begin_trace
            ),
            arrived=asyncio.get_running_loop().time(),
            address=self._limits.source(request),
            parameters=Parameters(
                read_query(request.query) if request.query_string else NO_PARAMETERS, declared
            ),
        )

    async def _answer(self, endpoint: Endpoint, exchange: Exchange) -> Answer | Refusal:
        if endpoint.path != HEALTH_PATH:  # who asks for our health must not learn of a flood
            limited = self._limits.take_address(exchange.address)
            if limited is not None:
                return limited
            if headers.has_key_parameter(exchange.parameters.names):
                return headers.KEY_IN_QUERY
        if endpoint.public is not None:
            return await endpoint.public(exchange)
        caller = self._authenticate(exchange)
        if isinstance(caller, Refusal):
            return caller
        exchange.caller = caller
        if (refusal := await self._limits.take(exchange, caller)) is not None:
            return refusal
        if not caller.may(endpoint.permissions):
            return _lacks(endpoint.permissions[0])
        if endpoint.write is not None and not self._directory.confirmed:
            return UNCONFIRMED
        if (refusal := await self._read(endpoint, exchange)) is not None:
            return refusal
        call = Call(
            caller=caller,
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            marks=exchange.marks,
            view_deadline=exchange.arrived + VIEW_WAIT_S,
            deadline=exchange.arrived + ANSWER_WAIT_S,
        )
        if endpoint.keeps_deadline:
            return await self._carry_out(endpoint, exchange, call)
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._carry_out(endpoint, exchange, call)
        except TimeoutError as error:
            raise StoreUnavailable("no answer in time") from error

    def _carry_out(
        self, endpoint: Endpoint, exchange: Exchange, call: Call
    ) -> Awaitable[Answer | Refusal]:
        if endpoint.write is not None:
            return endpoint.write(exchange, self._write(exchange, call))
        assert endpoint.read is not None
        return endpoint.read(exchange, call)

    def _authenticate(self, exchange: Exchange) -> Caller | Refusal:
        key = headers.api_key(exchange.request.headers)
        if isinstance(key, Refusal):
            return key
        caller = self._directory.caller(api_key=key, now=self._now())
        if caller is None:
            return headers.KEY_INVALID if self._directory.loaded else UNCONFIRMED
        if isinstance(caller, Ended):  # whose key it was stays between us and the record
            exchange.caller = caller.caller
            return headers.KEY_INVALID
        if caller.suspended:
            exchange.caller = caller
            return headers.ACCOUNT_SUSPENDED
        return caller

    async def _read(self, endpoint: Endpoint, exchange: Exchange) -> Refusal | None:
        """Read body and headers of a request that may be made; None if they are well formed."""
        request = exchange.request
        if endpoint.write is not None:
            body = await reading.read_body(exchange, required=endpoint.needs_body)
            if isinstance(body, Refusal):
                return body
            exchange.body = body
            given = request.headers.getall(headers.IDEMPOTENCY_KEY, ())
            if len(given) > 1 and len(set(given)) > 1:
                return invalid_parameter("Idempotency-Key", "must be one key")
            exchange.idempotency_key = (
                parse_key(given[0]) if given else str(UUID(bytes=self._random(16), version=4))
            )
            if exchange.idempotency_key is None:
                return invalid_parameter(
                    "Idempotency-Key", f"must have 1 to {LENGTH_MAX} visible characters"
                )
        told = request.headers.getall(headers.POSITION, ())
        if told:
            marks = self._seal.decode_marks(",".join(told))
            if marks is None:
                return invalid_parameter("OTA-Position", "must be what an answer has given")
            exchange.marks = marks
        return None

    def _write(self, exchange: Exchange, call: Call) -> Write:
        assert exchange.idempotency_key is not None
        exchange.command_id = command_id(
            partner_id=call.caller.partner_id,
            method=exchange.request.method,
            path=exchange.request.path,
            idempotency_key=exchange.idempotency_key,
        )
        return Write(
            call=call,
            command_id=exchange.command_id,
            fingerprint=self._hashes.fingerprint(exchange.body),
        )

    def _end(
        self, endpoint: Endpoint, exchange: Exchange, content: Answer | Refusal
    ) -> web.Response:
        response = respond(exchange, content, seal=self._seal, receipts=self._receipts)
        status = response.status
        method = exchange.request.method
        if method not in hdrs.METH_ALL:
            method = OTHER_METHOD
        observe = endpoint.observers.get((method, status))
        if observe is None:
            labels = (method, endpoint.path, str(status))
            observe = endpoint.observers[method, status] = self._durations.labels(*labels).observe
        now = asyncio.get_running_loop().time()
        duration_s = now - exchange.arrived
        if duration_s >= EXEMPLAR_FROM_S or now >= self._exemplar_at:
            self._exemplar_at = now + EXEMPLAR_EVERY_S
            observe(duration_s, {"trace_id": exchange.trace_id})
        else:
            observe(duration_s)
        if exchange.caller is not None:
            self._partner_calls.count(exchange.caller.partner_id, status)
        if self._tracing is not None:
            _trace(self._tracing, exchange, method, endpoint.path, status, duration_s)
        self._audit.note(
            note_of(
                exchange,
                route=endpoint.path,
                status=status,
                word=content.word if isinstance(content, Refusal) else None,
                at=self._now(),
                duration_s=duration_s,
            )
        )
        return response


def _named(endpoint: Endpoint, exchange: Exchange) -> dict[str, str | None]:
    """Return what a log line names a request by, as its line in the access log does."""
    return {
        "route": endpoint.path,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "correlation_id": exchange.command_id,
        "partner_id": None if exchange.caller is None else exchange.caller.partner_id,
    }


def _trace(
    tracing: Tracing, exchange: Exchange, method: str, route: str, status: int, duration_s: float
) -> None:
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    if exchange.command_id is not None:
        attributes["messaging.message.conversation_id"] = exchange.command_id
    tracing.request(
        f"{method} {route}",
        exchange.traceparent,
        given=exchange.request.headers.get(headers.TRACEPARENT),
        duration_s=duration_s,
        attributes=attributes,
        failed=status >= 500,
    )


def _lacks(permission: str) -> Refusal:
    return Refusal(
        word="INSUFFICIENT_PERMISSIONS",
        detail=f"Your key lacks the permission {permission}.",
        extra={"required_permission": permission},
    )


def _failed(exchange: Exchange) -> Refusal:
    return Refusal(
        word="INTERNAL_ERROR", detail=f"An internal error; its request id is {exchange.request_id}."
    )

"""What a call can end with instead of an answer; the class says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ota_client.exchange import Answer, Request


class CallFailed(Exception):
    """A call did not give what was asked for.

    *idempotency_key* is that of a write: the same call with it can be made again, also
    much later and by another process, and has its effect once at most.
    """

    def __init__(self, message: str, *, request: Request) -> None:
        super().__init__(message)
        self.request = request
        self.idempotency_key = request.idempotency_key


class NoAnswer(CallFailed):
    """Nobody has answered until the deadline. A write may or may not have had its effect."""


class ApiError(CallFailed):
    """The API has refused the call with a problem document (RFC 9457).

    Not retried, or retried in vain until the deadline. What is not told apart by a class
    of its own is told apart by *code*, the error word.
    """

    def __init__(self, *, request: Request, answer: Answer) -> None:
        self.answer = answer
        self.problem: Mapping[str, Any] = answer.json
        self.status = answer.status
        self.code = answer.code or f"HTTP_{answer.status}"
        self.detail = str(self.problem.get("detail") or f"the answer was {answer.status}")
        super().__init__(f"{self.code}: {self.detail}", request=request)

    @property
    def request_id(self) -> str:
        """The id to name when you ask the operator."""
        return self.answer.request_id

    @property
    def field_errors(self) -> Mapping[str, str]:
        """What is wrong with which field, by JSON pointer (``#/quantity``)."""
        rows = self.problem.get("errors") or []
        return {str(row.get("pointer")): str(row.get("detail")) for row in rows}


class ValidationFailed(ApiError):
    """400, 413, 415, 422: the request is not well formed; mend it. See `field_errors`."""


class NotPermitted(ApiError):
    """401, 403: the key is not valid, or lacks a permission."""


class NotFound(ApiError):
    """404: no such product, reservation or order, or it is not yours."""


class SoldOut(ApiError):
    """409: your channel has fewer units than you asked for."""

    @property
    def available(self) -> int:
        """How many units there were."""
        return int(self.problem.get("available", 0))


class AlreadyActivated(ApiError):
    """409: the reservation became an order before."""

    @property
    def order_id(self) -> str | None:
        """That order."""
        found = self.problem.get("order_id")
        return None if found is None else str(found)


class ReservationEnded(ApiError):
    """409: the reservation has expired or was cancelled."""


class RateLimited(ApiError):
    """429: the calls of the minute are used up, for longer than the call could wait."""

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next call is granted."""
        return float(self.problem.get("retry_after", 1))


class Unavailable(ApiError):
    """503: nothing was done, nor will be; try later."""


class OutcomeUnknown(ApiError):
    """504: it is not known whether it was done; repeat with the same `idempotency_key`."""


_BY_CODE: Mapping[str, type[ApiError]] = {
    "SOLD_OUT": SoldOut,
    "ALREADY_ACTIVATED": AlreadyActivated,
    "RESERVATION_EXPIRED": ReservationEnded,
    "RESERVATION_CANCELLED": ReservationEnded,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: ValidationFailed,
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    413: ValidationFailed,
    415: ValidationFailed,
    422: ValidationFailed,
    429: RateLimited,
    503: Unavailable,
    504: OutcomeUnknown,
}


def error_of(request: Request, answer: Answer) -> ApiError:
    """Return the exception for a refusal, of the closest class."""
    found = _BY_CODE.get(answer.code) or _BY_STATUS.get(answer.status, ApiError)
    return found(request=request, answer=answer)

"""Problem documents (RFC 9457) and the closed catalogue of error words (contract, section 6).

The mapping from refusals to words belongs to the gateway; no domain code knows a status.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

CONTENT_TYPE = "application/problem+json"

Word = Literal[
    "ALREADY_ACTIVATED",
    "API_KEY_REQUIRED",
    "CANNOT_CANCEL_ACTIVATED",
    "HOLD_LIMIT_REACHED",
    "IDEMPOTENCY_IN_PROGRESS",
    "IDEMPOTENCY_KEY_REUSED",
    "INSUFFICIENT_PERMISSIONS",
    "INTERNAL_ERROR",
    "INVALID_API_KEY",
    "INVALID_COUNT",
    "INVALID_CUSTOMER_DETAILS",
    "INVALID_CUSTOMER_TYPE",
    "INVALID_DATE",
    "INVALID_PARAMETER",
    "INVALID_PRODUCT_ID",
    "INVALID_PRODUCT_IDS",
    "INVALID_REQUEST",
    "METHOD_NOT_ALLOWED",
    "NOT_EXECUTED",
    "NOT_FOUND",
    "ORDER_NOT_FOUND",
    "OUTCOME_UNKNOWN",
    "PAYLOAD_TOO_LARGE",
    "PRODUCT_NOT_FOUND",
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TIMEOUT",
    "RESERVATION_CANCELLED",
    "RESERVATION_EXPIRED",
    "RESERVATION_NOT_FOUND",
    "SOLD_OUT",
    "TICKET_NOT_FOUND",
    "UNSUPPORTED_MEDIA_TYPE",
    "VALIDATION_ERROR",
]


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """What a word means and what its receiver should do.

    *retryable*: the same request, sent again with the same Idempotency-Key, may succeed.
    """

    status: int
    title: str
    meaning: str
    what_to_do: str
    retryable: bool = False


_FIX = "Correct the request and send it again; errors[] names each field where it is known."
_NEW_KEY = "The refusal is recorded; to try again, send a new Idempotency-Key."
_LOOK = "Check the id. What belongs to another partner looks as if it did not exist."

_MEANINGS: dict[Word, ErrorMeaning] = {
    "API_KEY_REQUIRED": ErrorMeaning(
        401,
        "An API key is required",
        "The request carries no API key.",
        "Send your key in the header X-API-Key, or as Authorization: Bearer.",
    ),
    "INVALID_API_KEY": ErrorMeaning(
        401,
        "The API key is not valid",
        "The key is unknown, expired or revoked, or two different keys were sent.",
        "Send one valid key; ask the operator for a new one if yours was revoked.",
    ),
    "INSUFFICIENT_PERMISSIONS": ErrorMeaning(
        403,
        "A permission is missing",
        "The key is valid but lacks the permission that the answer names.",
        "Use a key that has the permission, or ask the operator to grant it.",
    ),
    "RATE_LIMIT_EXCEEDED": ErrorMeaning(
        429,
        "Too many calls",
        "Your limit of calls within 60 seconds is used up; nothing was done.",
        "Wait for the seconds in Retry-After, then send the request again.",
        retryable=True,
    ),
    "INVALID_REQUEST": ErrorMeaning(
        400,
        "The request cannot be read",
        "The body is not JSON, or a field is missing or of the wrong type.",
        _FIX,
    ),
    "REQUEST_TIMEOUT": ErrorMeaning(
        408,
        "The request did not arrive in time",
        "The request's head or body was not complete in time; nothing was done.",
        "Send it again, with the same Idempotency-Key, on a new connection.",
        retryable=True,
    ),
    "INVALID_PRODUCT_ID": ErrorMeaning(
        400, "The product id cannot be read", "A product id is a positive whole number.", _FIX
    ),
    "PAYLOAD_TOO_LARGE": ErrorMeaning(
        413, "The body is too large", "The body is larger than the API takes.", "Send less."
    ),
    "UNSUPPORTED_MEDIA_TYPE": ErrorMeaning(
        415,
        "The media type is not supported",
        "The API takes JSON in UTF-8, not compressed.",
        "Send Content-Type: application/json and no Content-Encoding.",
    ),
    "VALIDATION_ERROR": ErrorMeaning(
        422,
        "A value is outside its rule",
        "The request is well formed but a value is not allowed.",
        _FIX,
    ),
    "INVALID_PRODUCT_IDS": ErrorMeaning(
        422,
        "The list of product ids cannot be read",
        "The parameter product_ids takes positive whole numbers, separated by commas.",
        _FIX,
    ),
    "INVALID_PARAMETER": ErrorMeaning(
        422,
        "A query parameter is not valid",
        "A query parameter has a value that it cannot have.",
        _FIX,
    ),
    "INVALID_CUSTOMER_DETAILS": ErrorMeaning(
        422,
        "The customer's details are not valid",
        "The customer's name, e-mail address or telephone number is missing or malformed.",
        _FIX,
    ),
    "INVALID_CUSTOMER_TYPE": ErrorMeaning(
        422,
        "The customer type is not known",
        "A customer type is adult, child or elderly.",
        _FIX,
    ),
    "INVALID_DATE": ErrorMeaning(
        422,
        "The date is not valid",
        "A date has the form YYYY-MM-DD and exists in the calendar.",
        _FIX,
    ),
    "INVALID_COUNT": ErrorMeaning(
        422, "The count is not valid", "A count is a whole number within its rule.", _FIX
    ),
    "IDEMPOTENCY_KEY_REUSED": ErrorMeaning(
        422,
        "The Idempotency-Key belongs to another request",
        "The key was used before with another body; nothing was done.",
        "Send a new key for a new request, or the unchanged body for a repeat.",
    ),
    "NOT_FOUND": ErrorMeaning(
        404, "Not found", "There is nothing at this address.", "Check the path."
    ),
    "PRODUCT_NOT_FOUND": ErrorMeaning(
        404,
        "The product was not found",
        "No product that is on sale has this id.",
        "Ask GET /api/ota/inventory what there is.",
    ),
    "RESERVATION_NOT_FOUND": ErrorMeaning(
        404, "The reservation was not found", "You have no reservation with this id.", _LOOK
    ),
    "ORDER_NOT_FOUND": ErrorMeaning(
        404, "The order was not found", "You have no order with this id.", _LOOK
    ),
    "TICKET_NOT_FOUND": ErrorMeaning(
        404, "The ticket was not found", "You have no ticket with this code.", _LOOK
    ),
    "METHOD_NOT_ALLOWED": ErrorMeaning(
        405,
        "The method is not allowed here",
        "The address exists but does not take this method.",
        "Use one of the methods in the header Allow.",
    ),
    "SOLD_OUT": ErrorMeaning(
        409,
        "Not enough units are available",
        "Your channel has fewer units of the product than you asked for; see available.",
        f"Ask for fewer units or another product. {_NEW_KEY}",
    ),
    "HOLD_LIMIT_REACHED": ErrorMeaning(
        409,
        "The limit of open holds is reached",
        "You hold as many units of this product as you may without activating them.",
        f"Activate or cancel holds first. {_NEW_KEY}",
    ),
    "RESERVATION_EXPIRED": ErrorMeaning(
        409,
        "The reservation has expired",
        "Its time ran out and its units were given back.",
        "Make a new reservation.",
    ),
    "RESERVATION_CANCELLED": ErrorMeaning(
        409,
        "The reservation was cancelled",
        "It was cancelled before and its units were given back.",
        "Make a new reservation.",
    ),
    "ALREADY_ACTIVATED": ErrorMeaning(
        409,
        "The reservation is activated already",
        "It became the order that the answer names; one reservation makes one order.",
        "Read that order with GET /api/ota/orders/{id}.",
    ),
    "CANNOT_CANCEL_ACTIVATED": ErrorMeaning(
        409,
        "An activated reservation cannot be cancelled",
        "The reservation became the order that the answer names.",
        "Ask the operator about the order.",
    ),
    "IDEMPOTENCY_IN_PROGRESS": ErrorMeaning(
        409,
        "The first request with this key is still running",
        "Its outcome was not known in time for this repeat.",
        "Wait for the seconds in Retry-After, then repeat with the same Idempotency-Key.",
        retryable=True,
    ),
    "NOT_EXECUTED": ErrorMeaning(
        503,
        "The request was not executed",
        "A part of the system is not available; nothing was done.",
        "Wait for the seconds in Retry-After, then repeat with the same Idempotency-Key.",
        retryable=True,
    ),
    "OUTCOME_UNKNOWN": ErrorMeaning(
        504,
        "The outcome is not known yet",
        "The request was handed on but its answer was not there in time.",
        "Repeat with the same Idempotency-Key: you get the outcome, and nothing is done twice.",
        retryable=True,
    ),
    "INTERNAL_ERROR": ErrorMeaning(
        500,
        "An error of the system",
        "The system failed in a way that it should not.",
        "Repeat with the same Idempotency-Key; if it stays, send the operator the request_id.",
        retryable=True,
    ),
}

CATALOGUE: Mapping[Word, ErrorMeaning] = MappingProxyType(_MEANINGS)
"""What each word means; complete, and the same for every partner."""

_RESERVED = frozenset(
    {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "error",
        "code",
        "message",
        "request_id",
        "errors",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One bad field: a JSON pointer (RFC 6901) into the body, and what is wrong there."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal as a partner sees it.

    *extra* are members of this one problem, such as ``available`` or ``retry_after``.
    Raises ValueError for a word outside the catalogue or an extra member whose name is
    taken.
    """

    word: Word
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()

    def __post_init__(self) -> None:
        if self.word not in CATALOGUE:
            raise ValueError(f"{self.word!r} is not an error word of the contract")
        if taken := _RESERVED.intersection(self.extra):
            raise ValueError(f"extra members must not be called {sorted(taken)}")

    @property
    def status(self) -> int:
        """The HTTP status of the word."""
        return CATALOGUE[self.word].status

    @property
    def title(self) -> str:
        """The word's title, the same for every occurrence."""
        return CATALOGUE[self.word].title

    def document(self, *, instance: str, request_id: str | None) -> dict[str, object]:
        """Return the members, those of both generations of clients included.

        *instance* is the request's path, without its query. A refusal that may be given
        again has no *request_id* in it: a repeat has to get the same bytes.
        """
        document: dict[str, object] = {
            "type": f"/problems/{slug(self.word)}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "error": self.word,
            "code": self.word,
            "message": self.detail,
            **self.extra,
        }
        if request_id is not None:
            document["request_id"] = request_id
        if self.errors:
            document["errors"] = [
                {"pointer": error.pointer, "detail": error.detail} for error in self.errors
            ]
        return document

    def render(self, *, instance: str, request_id: str | None) -> bytes:
        """Return the document as JSON in UTF-8 (media type `CONTENT_TYPE`)."""
        document = self.document(instance=instance, request_id=request_id)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def slug(word: Word) -> str:
    """Return the word as it stands in the address of its page: ``sold-out``."""
    return word.lower().replace("_", "-")


def word_of(page: str) -> Word | None:
    """Return the word whose page that is (the inverse of `slug`), None if there is none."""
    return _WORDS.get(page)


_WORDS = {slug(word): word for word in CATALOGUE}

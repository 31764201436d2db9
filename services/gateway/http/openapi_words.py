"""Which error words an endpoint can answer with, besides those that its operation names."""

from __future__ import annotations

from collections.abc import Iterable

from libs.runtime.problem import CATALOGUE, Word
from services.gateway.http.edge import HEALTH_PATH
from services.gateway.http.endpoint import Endpoint, Operation

OF_ALL: tuple[Word, ...] = (
    "INTERNAL_ERROR",
    "INVALID_REQUEST",  # a key in the address
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TIMEOUT",
)
OF_CALLERS: tuple[Word, ...] = (
    "API_KEY_REQUIRED",
    "INVALID_API_KEY",
    "INVALID_PARAMETER",  # OTA-Position
    "NOT_EXECUTED",
)
OF_BODIES: tuple[Word, ...] = (
    "INVALID_REQUEST",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
)
OF_COMMANDS: tuple[Word, ...] = (
    "IDEMPOTENCY_IN_PROGRESS",
    "IDEMPOTENCY_KEY_REUSED",
    "OUTCOME_UNKNOWN",
)


def words_of(endpoint: Endpoint, operation: Operation) -> tuple[Word, ...]:
    """Return every word of an endpoint, by status and then in order."""
    words: set[Word] = {*operation.words, *OF_ALL}
    if endpoint.path == HEALTH_PATH:
        words -= {"INVALID_REQUEST", "RATE_LIMIT_EXCEEDED", "REQUEST_TIMEOUT"}
    if endpoint.public is None:
        words.update(OF_CALLERS)
    if endpoint.permissions:
        words.add("INSUFFICIENT_PERMISSIONS")
    if endpoint.write is not None:
        words.update(OF_COMMANDS)
    if endpoint.write is not None or endpoint.body is not None:
        words.update(OF_BODIES)
    return _ordered(words)


def by_status(words: Iterable[Word]) -> dict[int, tuple[Word, ...]]:
    """Return words under their status."""
    found: dict[int, list[Word]] = {}
    for word in words:
        found.setdefault(CATALOGUE[word].status, []).append(word)
    return {status: tuple(these) for status, these in found.items()}


def _ordered(words: Iterable[Word]) -> tuple[Word, ...]:
    return tuple(sorted(words, key=lambda word: (CATALOGUE[word].status, word)))

"""The names of all fields that log lines have, each for one thing in every service.

`docs/logs.md` is made from it, and a test compares it with what the code logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALWAYS: Final[Mapping[str, str]] = {
    "timestamp": "When, in UTC, to the microsecond (RFC 3339).",
    "level": "`debug`, `info`, `warning`, `error` or `critical`.",
    "event": "What happened: area and verb, the same text each time; a library's own words.",
    "service.name": "`gateway`, `inventory`, `reservation` or `fulfillment`.",
    "service.version": "Its release.",
}
"""On every line."""

IDS: Final[Mapping[str, str]] = {
    "trace_id": "The trace of the call it all goes back to; in `traceparent` of its answer.",
    "request_id": "The call's `X-Request-Id`, the caller's own or ours.",
    "correlation_id": "The command of that call; `correlation_id` of all its messages and events.",
    "causation_id": "The message that led to this one.",
    "message_id": "The message itself.",
    "partner_id": "Who called.",
    "key_id": "With which key; never the key.",
    "reservation_id": "The reservation.",
    "order_id": "The order.",
    "pool_no": "The pool of a product in a channel.",
    "operator": "Who acted on the console.",
}
"""Whom or what a line is about, where that is known."""

REST: Final[Mapping[str, str]] = {
    "address": "The caller's network (/24 or /48), never the whole address.",
    "after_s": "Seconds after which it was noticed.",
    "applied": "Migrations that were applied now.",
    "attempt": "Which try this is.",
    "attempts_max": "Tries there will be at most.",
    "back_to": "The offset that reading goes on from.",
    "calls_without_line": "Calls whose lines the access log has lost.",
    "commands_per_s": "A test's limit.",
    "connections_max": "Connections that will be taken at most.",
    "database_time": "What the database's clock says.",
    "duration_ms": "How long a call took.",
    "effect": "What does not happen because of it.",
    "epoch": "Who owns a partition, counted from its first owner.",
    "events": "How many events.",
    "exception": "A traceback, without values of variables.",
    "exit_code": "With which the process ends.",
    "file": "A migration's file.",
    "hint": "What to look at.",
    "host": "Address that is listened on.",
    "keys": "How many API keys are known.",
    "lag_ms": "How late the event loop was.",
    "limit": "Commands that may be unanswered.",
    "limit_s": "Seconds that are given.",
    "lines": "How many log lines.",
    "logger": "The library that speaks.",
    "master_key_id": "Name of the master key, made from its hash.",
    "message": "What the event loop says of a failed task.",
    "method": "HTTP's.",
    "number": "This gateway's, among those that run.",
    "offset": "Of a record in its partition.",
    "owner": "A process of a service, by the name it signs on with.",
    "panel": "A part of a page of the console.",
    "partition": "One of a topic's, and of the log's.",
    "partitions": "Several of them.",
    "pending": "Migrations left for after the release.",
    "port": "That is listened on.",
    "position": "Of an event: generation, partition, sequence.",
    "prices": "Lines of an order whose price is wrong.",
    "reason": "Why.",
    "refused": "How many were turned away since the last such line.",
    "replayed": "`true` on the answer to a repeated call.",
    "restart_in_s": "Seconds until the task starts again.",
    "role": "An operator's.",
    "route": "A call's path with its variable part left out.",
    "rows": "How many rows of the audit trail.",
    "seq": "Number of an event in its partition.",
    "set": "Migrations of one origin.",
    "shared": "Whether other gateways listen on the same socket.",
    "silent_for_s": "Seconds without a sign of life.",
    "source": "The service whose log is meant.",
    "state": "Of a receipt's event: altered or missing.",
    "status": "HTTP's.",
    "task": "One of the process's own.",
    "took_ms": "How long it took.",
    "topic": "Kafka's.",
    "unanswered": "Commands on their way.",
    "units": "How many units.",
    "version": "Of the partners' directory.",
    "wanted": "What the settings ask for.",
    "word": "The error word of a refusal, as in its problem document.",
}

FIELDS: Final[Mapping[str, str]] = {**ALWAYS, **IDS, **REST}

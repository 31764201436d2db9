"""Stored rows beside the logs: entity tables and recorded answers, made comparable."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ota_verify.context import ANSWER_NAMES, ANSWERS, EVENTLESS, Context, chosen, instant, read_json
from ota_verify.files import Row

EVENTLESS_ONLY = frozenset({"hold_refused", "ledger_change_refused"})
"""Answers that never come of an event."""


@dataclass(frozen=True, slots=True)
class Columns:
    """An entity table: its key, and its columns by how they are compared."""

    key: Callable[[Row], str]
    plain: tuple[str, ...]
    json: tuple[str, ...] = ()
    instants: tuple[str, ...] = ()

    def comparable(self, row: Row) -> Row:
        """Return a row as the models expect it; raises KeyError, ValueError, TypeError."""
        found = {name: row[name] for name in self.plain}
        found |= {name: read_json(row[name]) for name in self.json}
        return found | {name: instant(row[name]) for name in self.instants}


_HOLD = (
    *("partition", "reservation_id", "pool_no", "product_id", "channel", "partner_id"),
    *("quantity", "status", "rule_version", "visit_date", "customer_reference_hash"),
)
_SEALED = ("customer_reference",)

TABLES: Mapping[str, Columns] = {
    "inventory.pool": Columns(
        lambda row: str(row["pool_no"]),
        ("partition", "pool_no", "product_id", "channel", "allotted", "held", "sold", "selling"),
    ),
    "inventory.hold": Columns(
        lambda row: str(row["reservation_id"]), (*_HOLD, "seq"), _SEALED, ("held_at", "expires_at")
    ),
    "inventory.partner_cap": Columns(
        lambda row: str(row["name"]), ("partition", "pool_no", "partner_id", "units", "held")
    ),
    "inventory.catalogue": Columns(
        lambda row: str(row["version"]),
        ("partition", "version"),
        ("document",),
        ("published_at",),
    ),
    "reservation.reservation": Columns(
        lambda row: str(row["reservation_id"]),
        (*_HOLD, "ledger_seq", "order_id", "ended_by"),
        _SEALED,
        ("held_at", "expires_at", "ended_at"),
    ),
    "reservation.numbering": Columns(lambda row: str(row["name"]), ("partition", "name", "orders")),
    "fulfillment.customer_order": Columns(
        lambda row: str(row["order_id"]),
        (
            *("partition", "order_id", "reservation_id", "pool_no", "partner_id", "product_id"),
            *("channel", "quantity", "confirmation_code", "visit_date", "day_class"),
            *("total_minor", "currency", "rule_version", "payment_reference_hash", "status"),
        ),
        ("lines", "customer", "entitlements"),
        ("created_at",),
    ),
    "fulfillment.ticket": Columns(
        lambda row: str(row["ticket_code"]),
        (
            *("partition", "ticket_code", "order_id", "position"),
            *("qr_token", "customer_type", "status"),
        ),
    ),
    "fulfillment.numbering": Columns(
        lambda row: str(row["name"]), ("partition", "name", "orders", "tickets")
    ),
}
_COUNTS = {
    "reservation.reservation_count": (
        ("partner_id", "product_id", "status", "partition"),
        "reservations",
    ),
    "fulfillment.order_count": (("partner_id", "product_id", "partition"), "orders"),
}
COMPARED = (*TABLES, *_COUNTS)


def find_row(context: Context, table: str, row: Row) -> None:
    """Take in a row of an entity table; raises KeyError, ValueError, TypeError."""
    counted = _COUNTS.get(table)
    if counted is not None:
        key, number = counted
        if row[number]:
            context.sets.find(
                table, "/".join(str(row[name]) for name in key), {"number": row[number]}
            )
        return
    columns = TABLES[table]
    context.sets.find(table, columns.key(row), columns.comparable(row))


def find_answer(context: Context, service: str, row: Row) -> None:
    """Take in a recorded answer, unless it is a refusal that came of no event."""
    type = row["type"].removeprefix(ANSWER_NAMES)
    evidence = row.get("evidence")
    if evidence is None and type in EVENTLESS | EVENTLESS_ONLY:
        return
    answer = read_json(row["answer"])
    for name in ("held_at", "expires_at", "created_at"):
        if name in answer:
            answer[name] = instant(answer[name])
    found = {
        **chosen(row, ("partition", "fingerprint", "reply_to", "type", "version")),
        "answer": answer,
        "decided_at": instant(row["decided_at"]),
        "evidence": evidence and _hexadecimal(evidence),
    }
    context.sets.find(f"{service}.{ANSWERS}", row["command_id"], found)


def _hexadecimal(evidence: str) -> str:
    """Return position and hash as the events have them; the column has the hash in base 64."""
    place, _, encoded = evidence.partition(".")
    hash = b64decode(encoded, validate=True)
    if b64encode(hash).decode() != encoded:  # one hash, one spelling
        raise ValueError("evidence in another spelling")
    return f"{place}.{hash.hex()}"

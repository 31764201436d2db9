"""The WHERE of a list: our names in the text, values only as parameters."""

from __future__ import annotations

from datetime import UTC, datetime

from services.gateway.domain.records import Slice
from services.gateway.store.conditions import Conditions

AT = datetime(2026, 1, 5, tzinfo=UTC)


def test_only_what_is_asked_for_is_a_condition() -> None:
    """None restricts nothing; values are numbered in order."""
    where = Conditions()
    where.equal("partner_id", "p")
    where.equal("status", None)
    where.period("created_at", AT, None)
    where.after("created_at", "order_id", (AT, "x"))
    limit = where.limit(Slice(limit=21, offset=40))
    assert (
        "WHERE partner_id = $1 AND created_at >= $2"
        " AND created_at <= $3 AND (created_at < $3 OR (created_at = $3 AND order_id > $4))"
    ) == str(where)
    assert "LIMIT $5 OFFSET $6" == limit
    assert ["p", AT, AT, "x", 21, 40] == where.values


def test_without_conditions_there_is_no_where() -> None:
    """Nothing asked, nothing restricted."""
    assert "" == str(Conditions())

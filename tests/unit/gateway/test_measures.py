"""What the gateway shows of its partners."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from libs.runtime.metrics import Metrics
from services.gateway.domain.partner import Caller
from services.gateway.http.measures import PartnerCalls, outcome_of, watch_partners

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ENDLESS = Caller(
    key_id="k",
    partner_id="harbour",
    name="Harbour",
    channel="ota",
    permissions=frozenset(),
    calls_per_minute=100,
    expires_at=None,
)


def metrics() -> tuple[Metrics, CollectorRegistry]:
    """Return a gateway's metrics."""
    registry = CollectorRegistry()
    return Metrics(registry, service="gateway", version="1"), registry


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "answered"), (204, "answered"), (304, "answered"), (409, "refused")),
        *((401, "refused"), (429, "limited"), (500, "failed"), (504, "failed")),
    ],
)
def test_a_status_says_whose_fault_it_was(status: int, outcome: str) -> None:
    """Partners' mistakes are not ours."""
    assert outcome == outcome_of(status)


def test_calls_are_counted_by_partner() -> None:
    """With all outcomes from the first call on, so that the first failure shows as an increase."""
    made, registry = metrics()
    calls = PartnerCalls(made)
    for status in (200, 201, 429):
        calls.count("harbour", status)
    found = {
        outcome: registry.get_sample_value(
            "ota_partner_calls_total", {"partner_id": "harbour", "outcome": outcome}
        )
        for outcome in ("answered", "refused", "limited", "failed")
    }
    assert {"answered": 2, "refused": 0, "limited": 1, "failed": 0} == found


def shown(*callers: Caller) -> str:
    """Return what is shown of a directory with these keys."""
    made, registry = metrics()
    account = SimpleNamespace(partner_id="harbour", limit=100, remaining=lambda now: 60)
    directory: Any = SimpleNamespace(
        version=7, unconfirmed_s=0.5, callers={b"%d" % n: each for n, each in enumerate(callers)}
    )
    quotas: Any = SimpleNamespace(accounts=lambda: [account])
    watch_partners(made, directory=directory, quotas=quotas, monotonic=lambda: 0.0)
    return generate_latest(registry).decode()


def test_limits_and_the_directorys_age_are_read_at_the_scrape() -> None:
    """What a partner has left is the account's own figure."""
    text = shown(ENDLESS)
    for line in (
        'ota_partner_limit_calls{partner_id="harbour"} 100.0',
        'ota_partner_remaining_calls{partner_id="harbour"} 60.0',
        "ota_directory_version 7.0",
        "ota_directory_unconfirmed_seconds 0.5",
    ):
        assert line in text.splitlines()


def test_the_end_of_a_partners_last_key_is_shown() -> None:
    """A key that was followed by a later one is no reason to worry, an endless one none at all."""
    first = replace(ENDLESS, key_id="a", expires_at=NOW)
    second = replace(ENDLESS, key_id="b", expires_at=NOW + timedelta(days=9))
    name = 'ota_partner_access_ends_timestamp_seconds{partner_id="harbour"}'
    ends_at = (NOW + timedelta(days=9)).timestamp()
    (line,) = [each for each in shown(first, second).splitlines() if each.startswith(name)]
    assert ends_at == float(line.rpartition(" ")[2])
    assert name not in shown(first, second, ENDLESS)

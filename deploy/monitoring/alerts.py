"""The symptom alerts: what an operator must be told, each with series that show when.

An alert's anchor in the runbook is its name in lower case. ``page`` wakes somebody, ``ticket``
waits for the morning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deploy.monitoring.alert import INSTANCE, PAGE, POOL, RESERVE, TICKET, Alert, ever
from deploy.monitoring.objectives import REQUESTS
from deploy.monitoring.partner_alerts import partner_alerts
from deploy.monitoring.pipeline_alerts import pipeline_alerts
from deploy.monitoring.server_alerts import server_alerts
from deploy.monitoring.time_alerts import time_alerts

RESTARTED: Final = "0x4 1x4 0x40"
"""A counter of a process that is started anew, as by whoever tries that first."""
SERVICES: Final = ("gateway", "inventory", "reservation", "fulfillment")


def symptom_alerts() -> Iterator[Alert]:
    """Return all of them."""
    yield from _of_the_books()
    yield from _of_the_business()
    yield from pipeline_alerts()
    yield from server_alerts()
    yield from _of_processes()
    yield from time_alerts()
    yield from partner_alerts()
    yield from _of_the_edge()


def _of_the_books() -> Iterator[Alert]:
    yield Alert(
        name="Oversell",
        expr=f"{ever('ota_oversell_incidents_total')} > 0"
        " or min(ota_inventory_available_units) < 0",
        hold="0s",
        severity=PAGE,
        summary="More units are held and sold than allotted",
        description="A pool's books are below zero. Stop its sales now.",
        dashboard="ota-business",
        fires={
            f"ota_oversell_incidents_total{{{INSTANCE}}}": RESTARTED,
            f"ota_inventory_available_units{{{POOL}}}": "5x40",
        },
        silent={
            f"ota_oversell_incidents_total{{{INSTANCE}}}": "0x40",
            f"ota_inventory_available_units{{{POOL}}}": "5x4 0x40",
        },
    )
    yield Alert(
        name="LedgerConflict",
        expr=f"{ever('ota_ledger_conflicts_total')} > 0",
        hold="0s",
        severity=PAGE,
        summary="The ledger could not apply the end of a hold",
        description="Nothing was moved, and that pool's sales are stopped.",
        dashboard="ota-pipeline",
        fires={f"ota_ledger_conflicts_total{{{INSTANCE}}}": RESTARTED},
        silent={f"ota_ledger_conflicts_total{{{INSTANCE}}}": "0x40"},
    )
    yield Alert(
        name="ChainBroken",
        expr=f"{ever('ota_chain_breaks_total', 'job')} > 0",
        hold="0s",
        severity=PAGE,
        summary="The event log of {{ $labels.job }} was changed",
        description="Stored events do not have the hashes that they were written with.",
        dashboard="ota-datastores",
        labels={"job": "inventory"},
        fires={f"ota_chain_breaks_total{{{INSTANCE}}}": RESTARTED},
        silent={f"ota_chain_breaks_total{{{INSTANCE}}}": "0x40"},
    )


def _of_the_business() -> Iterator[Alert]:
    yield Alert(
        name="PricesDiffer",
        expr=f"{ever('ota_price_mismatches_total')} > 0",
        hold="0s",
        severity=TICKET,
        summary="Two orders paid different prices for the same",
        description="Prices are the same in every channel; an order's lines say otherwise.",
        dashboard="ota-business",
        fires={'ota_price_mismatches_total{job="fulfillment"}': RESTARTED},
        silent={'ota_price_mismatches_total{job="fulfillment"}': "0x40"},
    )
    yield Alert(
        name="SalesStopped",
        expr="min by (product_id, channel) (ota_inventory_selling) == 0",
        hold="1m",
        severity=TICKET,
        summary="Product {{ $labels.product_id }} is not sold in channel {{ $labels.channel }}",
        description="An operator, or a conflict in the ledger, has stopped its sales.",
        dashboard="ota-business",
        labels={"product_id": "106", "channel": "ota"},
        fires={f"ota_inventory_selling{{{POOL}}}": "1x4 0x40"},
        silent={f"ota_inventory_selling{{{POOL}}}": "1x4 0x2 1x40"},
    )


def _of_processes() -> Iterator[Alert]:
    ours = f'job=~"{"|".join(SERVICES)}"'
    yield Alert(
        name="ServiceDown",
        expr=f"up{{{ours}}} == 0",
        hold="20s",
        severity=PAGE,
        summary="{{ $labels.job }} at {{ $labels.instance }} does not answer",
        description="It is dead, hangs, or cannot be reached.",
        dashboard="ota-overview",
        labels={"job": "inventory", "instance": "inventory:9102"},
        fires={f"up{{{INSTANCE}}}": "1x4 0x40"},
        silent={f"up{{{INSTANCE}}}": "1x18 0 1x40"},
    )
    yield Alert(
        name="ServiceMissing",
        expr=" or ".join(f'absent(up{{job="{name}"}})' for name in SERVICES),
        hold="1m",
        severity=PAGE,
        summary="No instance of {{ $labels.job }} is known",
        description="Prometheus has no target of this service to ask.",
        dashboard="ota-overview",
        labels={"job": "inventory"},
        fires={f'up{{job="{name}"}}': "1x40" for name in SERVICES if name != "inventory"},
        silent={f'up{{job="{name}"}}': "1x40" for name in SERVICES},
    )
    lag = 'ota_event_loop_lag_seconds{job="gateway",instance="gateway:9101"}'
    yield Alert(
        name="LoopLagging",
        expr="max by (job, instance) (ota_event_loop_lag_seconds) > 0.25",
        hold="45s",
        severity=TICKET,
        summary="The event loop of {{ $labels.job }} at {{ $labels.instance }} stalls again and"
        " again",
        description="It was late by more than 250 ms, several times in a row; all that it serves"
        " waits as long.",
        dashboard="ota-overview",
        labels={"job": "gateway", "instance": "gateway:9101"},
        fires={lag: "0x4 0.4x40"},
        silent={lag: "0x18 3x2 0.01x40"},
    )


def _of_the_edge() -> Iterator[Alert]:
    count = f"{REQUESTS}_count"
    yield Alert(
        name="EndpointErrors",
        expr=f'sum by (http_route) (rate({count}{{http_response_status_code=~"5.."}}[5m]))'
        f" / sum by (http_route) (rate({count}[5m])) > 0.01"
        f" and sum by (http_route) (rate({count}[5m])) > 0.05",
        hold="1m",
        severity=TICKET,
        summary="More than 1 % of the calls to {{ $labels.http_route }} fail",
        description="Counted over five minutes; 5xx only.",
        dashboard="ota-overview",
        labels={"http_route": "/api/ota/reserve"},
        fires={
            f'{count}{{{RESERVE},http_response_status_code="201"}}': "0+100x40",
            f'{count}{{{RESERVE},http_response_status_code="503"}}': "0+3x40",
        },
        silent={
            f'{count}{{{RESERVE},http_response_status_code="201"}}': "0+1000x40",
            f'{count}{{{RESERVE},http_response_status_code="503"}}': "0+3x40",
        },
    )
    unconfirmed = 'ota_directory_unconfirmed_seconds{job="gateway"}'
    yield Alert(
        name="KeysUnconfirmed",
        expr="max by (job) (ota_directory_unconfirmed_seconds) > 10",
        hold="15s",
        severity=PAGE,
        summary="{{ $labels.job }} cannot confirm the partners' keys",
        description="After 60 s it refuses everything but reads.",
        dashboard="ota-partner",
        labels={"job": "gateway"},
        fires={unconfirmed: "0x4 0+15x40"},
        silent={unconfirmed: "0x18 12 1x40"},
    )
    yield Alert(
        name="AuditDropped",
        expr="sum(increase(ota_audit_dropped_total[10m])) > 0",
        hold="0s",
        severity=TICKET,
        summary="Audit records of calls were given up",
        description="The gateway's database was away for too long.",
        dashboard="ota-overview",
        fires={'ota_audit_dropped_total{job="gateway"}': "0x10 40x40"},
        silent={'ota_audit_dropped_total{job="gateway"}': "40x40"},
    )
    shed = "ota_commands_shed_total"
    yield Alert(
        name="LoadShed",
        expr=f"sum(rate({shed}[2m])) + sum(rate(ota_requests_shed_total[2m])) > 1",
        hold="1m",
        severity=TICKET,
        summary="More comes than can be answered in time, and a part of it is refused",
        description="For minutes more than one call a second had a 503 at once, so that the"
        " others are answered.",
        dashboard="ota-pipeline",
        fires={
            f'{shed}{{job="gateway"}}': "0x4 0+30x40",
            'ota_requests_shed_total{job="gateway"}': "0x44",
        },
        silent={
            f'{shed}{{job="gateway"}}': "0x18 100x40",
            'ota_requests_shed_total{job="gateway"}': "0x58",
        },
    )

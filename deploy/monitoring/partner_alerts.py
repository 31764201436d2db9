"""Alerts of partners that call or hold too much."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.monitoring.alert import POOL, TICKET, WHOSE, Alert


def partner_alerts() -> Iterator[Alert]:
    """Return those of calls and of holds."""
    yield from _of_calls()
    yield from _of_holds()


def _of_calls() -> Iterator[Alert]:
    calls = "ota_partner_calls_total"
    mine = 'job="gateway",partner_id="harbour"'
    limit = "ota_partner_limit_calls"
    by = "sum by (partner_id)"
    yield Alert(
        name="PartnerFloods",
        expr=f"{by} (rate({calls}[1m])) * 60 > 5 * max by (partner_id) ({limit})",
        hold="15s",
        severity=TICKET,
        summary="{{ $labels.partner_id }} calls at many times its limit",
        description="More than five times as many calls as it may make. They are refused, but"
        " each costs a little.",
        dashboard="ota-partner",
        labels={"partner_id": "harbour"},
        fires={
            f'{calls}{{{mine},outcome="limited"}}': "0+1250x40",
            f"{limit}{{{mine}}}": "100x40",
        },
        silent={
            f'{calls}{{{mine},outcome="limited"}}': "0+100x40",
            f"{limit}{{{mine}}}": "100x40",
        },
    )
    yield Alert(
        name="PartnerAtLimit",
        expr=f'{by} (rate({calls}{{outcome="limited"}}[5m])) > 0.05 * {by} (rate({calls}[5m]))',
        hold="10m",
        severity=TICKET,
        summary="{{ $labels.partner_id }} has been at its limit for ten minutes",
        description="More than one call in twenty is refused (429): it polls too much, or its"
        " limit is too small.",
        dashboard="ota-partner",
        labels={"partner_id": "harbour"},
        fires={
            f'{calls}{{{mine},outcome="limited"}}': "0+10x120",
            f'{calls}{{{mine},outcome="answered"}}': "0+50x120",
        },
        silent={
            f'{calls}{{{mine},outcome="limited"}}': "0+10x20 200x100",
            f'{calls}{{{mine},outcome="answered"}}': "0+50x120",
        },
        at="20m",
    )


def _of_holds() -> Iterator[Alert]:
    held = "ota_partner_held_units"
    ended = "ota_holds_ended_total"
    whose = "partner_id, product_id, channel"
    yield Alert(
        name="PartnerHoards",
        expr=f"sum by ({whose}) ({held}) / on (product_id, channel) group_left ()"
        " sum by (product_id, channel) (ota_inventory_allotted_units) > 0.5"
        f' unless sum by ({whose}) (increase({ended}{{ending="activated"}}[1h])) > 0',
        hold="30s",
        severity=TICKET,
        summary="{{ $labels.partner_id }} holds most of product {{ $labels.product_id }} and buys"
        " nothing",
        description="It holds more than half of the channel {{ $labels.channel }} and has"
        " activated nothing of it for an hour. A cap stops it.",
        dashboard="ota-partner",
        labels={"partner_id": "harbour", "product_id": "106", "channel": "ota"},
        fires={
            f"{held}{{{WHOSE}}}": "0x4 1500x40",
            f'{ended}{{{WHOSE},ending="activated"}}': "0x40",
            f"ota_inventory_allotted_units{{{POOL}}}": "2000x40",
        },
        silent={
            f"{held}{{{WHOSE}}}": "0x4 1500x40",
            f'{ended}{{{WHOSE},ending="activated"}}': "0+1x40",
            f"ota_inventory_allotted_units{{{POOL}}}": "2000x40",
        },
    )
    yield Alert(
        name="ExpiryRateHigh",
        expr="ota:channel_expiry:ratio1d > 0.5"
        f" and on (channel) sum by (channel) (increase({ended}[1d])) > 20",
        hold="5m",
        severity=TICKET,
        summary="More than half of the holds of channel {{ $labels.channel }} run out",
        description="Partners hold what they do not sell: look at who, and at the hold's length.",
        dashboard="ota-business",
        labels={"channel": "ota"},
        fires={
            'ota:channel_expiry:ratio1d{channel="ota"}': "0.6x80",
            f'{ended}{{{WHOSE},ending="expired"}}': "0+1x80",
        },
        silent={
            'ota:channel_expiry:ratio1d{channel="ota"}': "0.45x80",
            f'{ended}{{{WHOSE},ending="expired"}}': "0+1x80",
        },
        at="15m",
    )

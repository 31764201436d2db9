"""Alerts of deadlines, clocks, and what ends on a date."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.monitoring.alert import PAGE, TICKET, Alert


def time_alerts() -> Iterator[Alert]:
    """Return those of expiry, clocks, certificates and keys."""
    yield from _of_expiry()
    yield from _of_clocks()
    yield from _of_what_ends()


def _of_expiry() -> Iterator[Alert]:
    overdue = "ota_hold_overdue_seconds"
    yield Alert(
        name="ExpiryLate",
        expr=f"max({overdue}) > 5",
        hold="15s",
        severity=TICKET,
        summary="Holds expire late",
        description="The oldest hold is more than 5 s past its deadline; its units are not sold.",
        dashboard="ota-business",
        fires={f'{overdue}{{job="reservation"}}': "0x4 0+15x40"},
        silent={f'{overdue}{{job="reservation"}}': "0x18 6 0x40"},
    )
    yield Alert(
        name="ExpiryStopped",
        # Three times in a minute: one that starts after a while finds a few that are late, and
        # one that is restarted again and again tells only now and then.
        expr=f"count_over_time((max({overdue}) > 30)[1m:5s]) >= 3",
        hold="0s",
        severity=PAGE,
        summary="Holds do not expire any more",
        description="The oldest hold is more than 30 s past its deadline.",
        dashboard="ota-business",
        fires={f'{overdue}{{job="reservation"}}': "0x49 35 0x2 40 0x3 45 0x3"},
        silent={f'{overdue}{{job="reservation"}}': "0x4 20x46 40x1 20x8"},
        interval="5s",
    )


def _of_clocks() -> Iterator[Alert]:
    yield Alert(
        name="ClockJumped",
        expr="sum by (job) (increase(ota_clock_jumps_total[10m])) > 0",
        hold="0s",
        severity=PAGE,
        summary="The database's clock has jumped, says {{ $labels.job }}",
        description="By more than 5 s against our own. Expiry is paused until it is set right "
        "or the service is restarted.",
        dashboard="ota-datastores",
        labels={"job": "reservation"},
        fires={'ota_clock_jumps_total{job="reservation"}': "0x10 1x40"},
        silent={'ota_clock_jumps_total{job="reservation"}': "1x40"},
    )
    offset = 'ota_clock_offset_seconds{job="gateway",instance="gateway:9101"}'
    yield Alert(
        name="ClockOff",
        expr="max by (job, instance) (abs(ota_clock_offset_seconds)) > 1",
        hold="15s",
        severity=PAGE,
        summary="The clock of {{ $labels.instance }} is off",
        description="It differs from the database server's by more than a second. Commands of a"
        " gateway that is 2.5 s behind are dropped as too old.",
        dashboard="ota-datastores",
        labels={"job": "gateway", "instance": "gateway:9101"},
        fires={offset: "0x4 -300x40"},
        silent={offset: "0.4x40"},
    )


def _of_what_ends() -> Iterator[Alert]:
    public = 'probe_ssl_earliest_cert_expiry{instance="https://api.example.com"}'
    yield Alert(
        name="PublicCertificateExpiresSoon",
        expr="min by (instance) (probe_ssl_earliest_cert_expiry) - time() < 14 * 86400",
        hold="15s",
        severity=TICKET,
        summary="The certificate of {{ $labels.instance }} ends within two weeks",
        description="Afterwards no partner can connect.",
        dashboard="ota-overview",
        labels={"instance": "https://api.example.com"},
        fires={public: "1000000x40"},
        silent={public: "1300000x40"},
    )
    certificate = "ota_certificate_expires_timestamp_seconds"
    whose = '{job="inventory",instance="inventory:9102",file="/kafka/ca.crt"}'
    yield Alert(
        name="CertificateExpiresSoon",
        expr=f"min by (job, file) ({certificate}) - time() < 14 * 86400",
        hold="15s",
        severity=TICKET,
        summary="{{ $labels.file }} of {{ $labels.job }} ends within two weeks",
        description="Afterwards the service cannot connect to Kafka or PostgreSQL.",
        dashboard="ota-overview",
        labels={"job": "inventory", "file": "/kafka/ca.crt"},
        fires={certificate + whose: "1000000x40"},
        silent={certificate + whose: "1300000x40"},
    )
    ends = 'ota_partner_access_ends_timestamp_seconds{job="gateway",partner_id="harbour"}'
    yield Alert(
        name="KeyExpiresSoon",
        expr="max by (partner_id) (ota_partner_access_ends_timestamp_seconds) - time() < 7 * 86400",
        hold="15s",
        severity=TICKET,
        summary="The last key of {{ $labels.partner_id }} ends within a week",
        description="Afterwards none of its calls is let in. Issue a new key and tell the partner.",
        dashboard="ota-partner",
        labels={"partner_id": "harbour"},
        fires={ends: "500000x40"},
        silent={ends: "700000x40"},
    )

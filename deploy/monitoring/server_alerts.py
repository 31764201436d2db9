"""Alerts of the broker, the databases and their disks."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.monitoring.alert import INSTANCE, PAGE, TICKET, Alert


def server_alerts() -> Iterator[Alert]:
    """Return those of servers and disks."""
    yield from _of_servers()
    yield from _of_the_database()
    yield from _of_disks()


def _of_servers() -> Iterator[Alert]:
    up = "ota_dependency_up"
    for name, dependency, words in (
        ("BrokerUnreachable", "kafka", "the Kafka broker"),
        ("DatabaseUnreachable", "postgres", "its database"),
    ):
        yield Alert(
            name=name,
            expr=f'max by (job) ({up}{{dependency="{dependency}"}}) == 0',
            hold="15s",
            severity=PAGE,
            summary=f"{{{{ $labels.job }}}} does not reach {words}",
            description="No instance of it had an answer for 15 s.",
            dashboard="ota-datastores",
            labels={"job": "inventory"},
            fires={f'{up}{{dependency="{dependency}",{INSTANCE}}}': "1x4 0x40"},
            silent={f'{up}{{dependency="{dependency}",{INSTANCE}}}': "1x18 0 1x40"},
        )


def _of_the_database() -> Iterator[Alert]:
    writes = "ota_batch_write_duration_seconds_bucket"
    yield Alert(
        name="DatabaseSlow",
        expr=f"histogram_quantile(0.5, sum by (job, le) (rate({writes}[1m]))) > 0.1",
        hold="30s",
        severity=TICKET,
        summary="The database of {{ $labels.job }} is slow",
        description="Half of its writes take longer than 100 ms.",
        dashboard="ota-datastores",
        labels={"job": "inventory"},
        fires={
            f'{writes}{{le="0.1",{INSTANCE}}}': "0+1x40",
            f'{writes}{{le="0.25",{INSTANCE}}}': "0+20x40",
            f'{writes}{{le="+Inf",{INSTANCE}}}': "0+20x40",
        },
        silent={
            f'{writes}{{le="0.1",{INSTANCE}}}': "0+15x40",
            f'{writes}{{le="0.25",{INSTANCE}}}': "0+20x40",
            f'{writes}{{le="+Inf",{INSTANCE}}}': "0+20x40",
        },
    )
    waiting = "db_client_connections_pending_requests"
    yield Alert(
        name="PoolExhausted",
        expr=f"max by (job, pool_name) (min_over_time({waiting}[1m])) > 0",
        hold="15s",
        severity=TICKET,
        summary="{{ $labels.job }} waits for connections of its pool {{ $labels.pool_name }}",
        description="Statements have waited for a free connection for more than a minute.",
        dashboard="ota-datastores",
        labels={"job": "gateway", "pool_name": "reservation"},
        fires={f'{waiting}{{job="gateway",pool_name="reservation"}}': "0x4 3x40"},
        silent={f'{waiting}{{job="gateway",pool_name="reservation"}}': "0x14 7x3 0x40"},
    )


def _of_disks() -> Iterator[Alert]:
    disk = 'instance="db:9100",mountpoint="/var/lib/postgresql"'
    free = (
        'min by (instance, mountpoint) (node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}'
        " / node_filesystem_size_bytes)"
    )
    for name, share, severity, left in (
        ("DiskNearlyFull", 0.1, TICKET, "less than a tenth"),
        ("DiskFull", 0.03, PAGE, "less than 3 %"),
    ):
        yield Alert(
            name=name,
            expr=f"{free} < {share}",
            hold="15s",
            severity=severity,
            summary="{{ $labels.mountpoint }} of {{ $labels.instance }} has little room left",
            description=f"There is {left} of the disk. A database that cannot write stops sales.",
            dashboard="ota-datastores",
            labels={"instance": "db:9100", "mountpoint": "/var/lib/postgresql"},
            fires={
                f'node_filesystem_avail_bytes{{{disk},fstype="ext4"}}': (
                    f"50x4 {share * 100 - 1:g}x40"
                ),
                f'node_filesystem_size_bytes{{{disk},fstype="ext4"}}': "100x44",
            },
            silent={
                f'node_filesystem_avail_bytes{{{disk},fstype="ext4"}}': f"{share * 100 + 1:g}x44",
                f'node_filesystem_size_bytes{{{disk},fstype="ext4"}}': "100x44",
            },
        )

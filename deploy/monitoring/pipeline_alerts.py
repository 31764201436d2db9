"""Alerts of the way from a command to its events."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.monitoring.alert import INSTANCE, PAGE, TICKET, Alert


def pipeline_alerts() -> Iterator[Alert]:
    """Return those of commands, partitions, inputs and the outbox."""
    yield from _of_progress()
    yield from _of_partitions()
    yield from _of_what_waits()
    yield from _of_what_was_put_aside()


def _of_progress() -> Iterator[Alert]:
    trips = "ota_command_round_trip_seconds_count"
    to_ledger = 'topic="ota.inventory.commands.v1"'
    yield Alert(
        name="LedgerNotAdvancing",
        expr=f'sum(rate({trips}{{{to_ledger},outcome!="answered"}}[1m])) > 0'
        f' unless sum(rate({trips}{{{to_ledger},outcome="answered"}}[1m])) > 0',
        hold="15s",
        severity=PAGE,
        summary="Partners ask for units and the ledger answers none of them",
        description="For a minute no command to inventory was answered, and some failed.",
        dashboard="ota-pipeline",
        fires={
            f'{trips}{{{to_ledger},outcome="answered"}}': "0+60x4 300x40",
            f'{trips}{{{to_ledger},outcome="unknown"}}': "0x4 0+5x40",
        },
        silent={
            f'{trips}{{{to_ledger},outcome="answered"}}': "0+60x40",
            f'{trips}{{{to_ledger},outcome="unknown"}}': "0+5x40",
        },
    )


def _of_partitions() -> Iterator[Alert]:
    state, unserved = "ota_partition_state", "ota_partition_unserved_seconds"
    yield Alert(
        name="PartitionUnserved",
        expr=f"max by (job, partition) ({unserved}) > 15",
        hold="15s",
        severity=PAGE,
        summary="Nobody serves partition {{ $labels.partition }} of {{ $labels.job }}",
        description="Its pools can be neither held nor sold nor released.",
        dashboard="ota-pipeline",
        labels={"job": "inventory", "partition": "2"},
        fires={
            f'{unserved}{{job="inventory",instance="a",partition="2"}}': "0x4 0+15x40",
            f'{unserved}{{job="inventory",instance="b",partition="2"}}': "0x4 0+15x40",
        },
        silent={f'{unserved}{{job="inventory",instance="a",partition="2"}}': "0x18 16 0x40"},
    )
    failures = "ota_partition_failures_total"
    yield Alert(
        name="PartitionFailing",
        expr=f"sum by (job, partition) (increase({failures}[1m])) > 3",
        hold="15s",
        severity=PAGE,
        summary="Serving partition {{ $labels.partition }} of {{ $labels.job }} fails again and"
        " again",
        description="It is begun anew each few seconds, and nothing of it is decided.",
        dashboard="ota-pipeline",
        labels={"job": "reservation", "partition": "1"},
        fires={f'{failures}{{job="reservation",partition="1"}}': "0x4 0+2x40"},
        silent={f'{failures}{{job="reservation",partition="1"}}': "0x18 3x40"},
    )
    yield Alert(
        name="PartitionHalted",
        expr=f"max by (job, partition) (max_over_time({state}[1m])) == 2",
        hold="0s",
        severity=PAGE,
        summary="Partition {{ $labels.partition }} of {{ $labels.job }} has halted",
        description="An event of another service cannot be read or applied; none is ever skipped.",
        dashboard="ota-pipeline",
        labels={"job": "reservation", "partition": "1"},
        fires={f'{state}{{job="reservation",partition="1"}}': "1x4 2 0x2 1 2 0x2 1 2 0x2 1 2 0x9"},
        silent={f'{state}{{job="reservation",partition="1"}}': "1x4 2 0x2 1x40"},
    )


def _of_what_waits() -> Iterator[Alert]:
    yield Alert(
        name="InputsBehind",
        expr="max by (job, topic) (ota_consumer_lag_seconds) > 10",
        hold="30s",
        severity=PAGE,
        summary="{{ $labels.job }} is behind in {{ $labels.topic }}",
        description="Records wait for more than 10 s; commands older than 2.5 s are dropped.",
        dashboard="ota-pipeline",
        labels={"job": "inventory", "topic": "ota.reservation.events.v1"},
        fires={
            'ota_consumer_lag_seconds{job="inventory",topic="ota.reservation.events.v1"}': (
                "0x4 0+15x40"
            )
        },
        silent={
            'ota_consumer_lag_seconds{job="inventory",topic="ota.reservation.events.v1"}': (
                "0x12 30 0x2 9x40"
            )
        },
    )
    yield Alert(
        name="OutboxBehind",
        expr="max by (job, partition) (ota_outbox_pending) > 1000",
        hold="30s",
        severity=TICKET,
        summary="{{ $labels.job }} cannot publish what it has recorded",
        description="More than 1000 events of partition {{ $labels.partition }} are not"
        " acknowledged by the broker.",
        dashboard="ota-pipeline",
        labels={"job": "inventory", "partition": "0"},
        fires={'ota_outbox_pending{job="inventory",partition="0"}': "0+200x40"},
        silent={'ota_outbox_pending{job="inventory",partition="0"}': "0x10 5000 0x40"},
    )


def _of_what_was_put_aside() -> Iterator[Alert]:
    letters = "ota_dead_letters_total"
    yield Alert(
        name="DeadLetters",
        expr=f"sum by (topic) (increase({letters}[10m])) > 0",
        hold="0s",
        severity=TICKET,
        summary="A record of {{ $labels.topic }} was put aside",
        description="It could not be read or decided. Whoever sent it has no answer.",
        dashboard="ota-pipeline",
        labels={"topic": "ota.inventory.commands.v1"},
        fires={f'{letters}{{job="inventory",topic="ota.inventory.commands.v1"}}': "0x10 1x40"},
        silent={f'{letters}{{job="inventory",topic="ota.inventory.commands.v1"}}': "1x40"},
    )
    yield Alert(
        name="FencedWrites",
        expr="sum by (job) (increase(ota_fenced_writes_total[5m])) > 0",
        hold="0s",
        severity=TICKET,
        summary="A late owner of {{ $labels.job }} was fenced off",
        description="An instance that had lost a partition still tried to write. Nothing was"
        " written twice; find out why it was late.",
        dashboard="ota-pipeline",
        labels={"job": "inventory"},
        fires={f"ota_fenced_writes_total{{{INSTANCE}}}": "0x10 1x40"},
        silent={f"ota_fenced_writes_total{{{INSTANCE}}}": "3x40"},
    )

"""What every deciding service measures of its loop: batches, writes, inputs, the log."""

from __future__ import annotations

from libs.runtime.metric_group import DECIDERS, WRITE_BUCKETS_S, MetricGroup

BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class LoopMetrics(MetricGroup):
    """The loop's part of the catalogue."""

    def _register_loop(self) -> None:
        self.commands = self._counter(
            "ota_commands_total",
            "Commands by how they ended.",
            labels=("service", "outcome"),
            unit="commands",
            services=DECIDERS,
        )
        self.events_appended = self._counter(
            "ota_events_appended_total",
            "Events written to the log.",
            labels=("type",),
            unit="events",
            services=DECIDERS,
        )
        self.batch_messages = self._histogram(
            "ota_batch_messages",
            "Messages decided in one write; at the gateway, commands that left together.",
            buckets=BATCH_BUCKETS,
        )
        self.batch_write_duration_seconds = self._histogram(
            "ota_batch_write_duration_seconds",
            "Time of the one write of a batch: the commit.",
            buckets=WRITE_BUCKETS_S,
            services=DECIDERS,
        )
        self.publish_duration_seconds = self._histogram(
            "ota_publish_duration_seconds",
            "Time from handing a batch to the producer to the broker's last acknowledgement.",
            buckets=WRITE_BUCKETS_S,
            services=DECIDERS,
        )

    def _register_outcomes(self) -> None:
        self.fenced_writes = self._counter(
            "ota_fenced_writes_total",
            "Writes refused because a newer owner exists.",
            unit="writes",
            services=DECIDERS,
        )
        self.dead_letters = self._counter(
            "ota_dead_letters_total",
            "Messages put aside as unreadable.",
            labels=("topic",),
            unit="records",
            services=DECIDERS,
        )
        self.partition_state = self._gauge(
            "ota_partition_state",
            "0 standby, 1 owner, 2 halted.",
            labels=("partition",),
            unit="state",
            services=DECIDERS,
        )
        self.partitions_owned = self._gauge(
            "ota_partitions_owned",
            "Partitions that this process owns and serves.",
            unit="partitions",
            services=DECIDERS,
        )
        self.partition_failures = self._counter(
            "ota_partition_failures_total",
            "Times that serving a partition ended by a fault; it is then begun anew.",
            labels=("partition",),
            unit="times",
            services=DECIDERS,
        )
        self.partition_unserved_seconds = self._gauge(
            "ota_partition_unserved_seconds",
            "For how long no process has served a partition, as far as this one knows.",
            labels=("partition",),
            services=DECIDERS,
        )
        self.outbox_pending = self._gauge(
            "ota_outbox_pending",
            "Events written and not yet known to be published.",
            labels=("partition",),
            unit="events",
            services=DECIDERS,
        )
        self.replayed_answers = self._counter(
            "ota_replayed_answers_total",
            "Repeats that got their recorded answer.",
            unit="answers",
            services=DECIDERS,
        )
        self.chain_checked_events = self._counter(
            "ota_chain_checked_events_total",
            "Stored events whose hash was computed anew, a sample at a time.",
            services=DECIDERS,
        )
        self.chain_breaks = self._counter(
            "ota_chain_breaks_total",
            "Stored events that do not have the hash that they should: the log was changed.",
            unit="events",
            services=DECIDERS,
        )

    def _register_inputs(self) -> None:
        self.input_wait_seconds = self._histogram(
            "ota_input_wait_seconds",
            "How long the oldest record of a gulp had waited since the broker appended it.",
            buckets=WRITE_BUCKETS_S,
            labels=("topic",),
            services=DECIDERS,
        )
        self.consumer_lag_records = self._gauge(
            "kafka_consumergroup_lag",
            "Records that the broker has and this service has not taken (kafka_exporter's name).",
            labels=("consumergroup", "topic", "partition"),
            unit="records",
            services=DECIDERS,
        )
        self.consumer_lag_seconds = self._gauge(
            "ota_consumer_lag_seconds",
            "Age of the oldest record that was not taken yet; 0 when there is none.",
            labels=("topic", "partition"),
            services=DECIDERS,
        )
        self.topic_end_offset = self._gauge(
            "kafka_topic_partition_current_offset",
            "The broker's next offset, as this service knows it (kafka_exporter's name).",
            labels=("topic", "partition"),
            unit="records",
            services=DECIDERS,
        )
        self.event_gap_fills = self._counter(
            "ota_event_gap_fills_total",
            "Gaps in a feed that were filled from the owner's view.",
            unit="gaps",
            services=DECIDERS,
        )
        self.stale_commands_dropped = self._counter(
            "ota_stale_commands_dropped_total",
            "Commands too old to be decided.",
            unit="commands",
            services=DECIDERS,
        )

"""The dashboards of the platform: overview, pipeline, Kafka and PostgreSQL."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.alert import ever
from deploy.monitoring.objectives import REQUESTS
from deploy.monitoring.panels import Dashboard, curves, figure, mean, quantile, rate

OVERVIEW: Final = Dashboard(
    uid="ota-overview",
    title="OTA: overview",
    about="Is the platform well? Start here.",
    panels=(
        figure(
            "Firing alerts",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            thresholds=(1,),
        ),
        figure("Services up", 'sum(up{job=~"gateway|inventory|reservation|fulfillment"})'),
        figure(
            "Availability, 1 day",
            "ota:availability:ratio1d",
            "percentunit",
            thresholds=(0.999,),
            low_is_bad=True,
            about="Calls without a fault of ours; promised: 99.9 %.",
        ),
        figure(
            "Answers within 2 s, 1 day",
            "ota:answers_within_2s:ratio1d",
            "percentunit",
            thresholds=(0.99,),
            low_is_bad=True,
        ),
        figure("Oversell incidents", ever("ota_oversell_incidents_total"), thresholds=(1,)),
        figure("Calls a second", f"sum(rate({REQUESTS}_count[$__rate_interval]))", "reqps"),
        curves(
            "Calls by route",
            (rate(f"{REQUESTS}_count", "http_route"), "{{http_route}}"),
            unit="reqps",
        ),
        curves(
            "Calls by status",
            (
                rate(f"{REQUESTS}_count", "http_response_status_code"),
                "{{http_response_status_code}}",
            ),
            unit="reqps",
        ),
        curves(
            "Share of failed calls by route",
            ("ota:endpoint_errors:ratio5m", "{{http_request_method}} {{http_route}}"),
            unit="percentunit",
            about="5xx only; promised: less than 1 %.",
        ),
        curves(
            "Latency",
            (quantile(0.5, REQUESTS, "le"), "p50"),
            (quantile(0.95, REQUESTS, "le"), "p95"),
            (quantile(0.99, REQUESTS, "le"), "p99"),
            unit="s",
        ),
        curves(
            "Latency of writes, p99",
            (
                quantile(0.99, REQUESTS, "le, http_route", '{http_request_method!~"GET|HEAD"}'),
                "{{http_route}}",
            ),
            unit="s",
        ),
        curves(
            "Error budget, share of failures in an hour",
            ("slo:sli_error:ratio_rate1h", "{{sloth_slo}}"),
            ("slo:error_budget:ratio", "budget of {{sloth_slo}}"),
            unit="percentunit",
        ),
        curves(
            "CPU",
            (
                "sum by (job, instance) (rate(process_cpu_seconds_total[$__rate_interval]))",
                "{{job}} {{instance}}",
            ),
            unit="percentunit",
            about="1 is a whole core. QR workers are processes of their own and not in here.",
        ),
        curves(
            "Memory",
            ("process_resident_memory_bytes", "{{job}} {{instance}}"),
            unit="bytes",
        ),
        curves(
            "Worst lag of the event loop",
            ("ota_event_loop_lag_seconds", "{{job}} {{instance}}"),
            unit="s",
        ),
        curves(
            "Connections",
            ("ota_connections_open", "open at {{instance}}"),
            ("sum by (reason) (ota_connections_refused_total)", "refused in all: {{reason}}"),
        ),
        curves(
            "Audit",
            (rate("ota_audit_rows_total", "job"), "stored a second"),
            ("ota_audit_backlog_rows", "waiting"),
            (rate("ota_audit_dropped_total", "job"), "dropped a second"),
        ),
        curves(
            "Running versions",
            ("sum by (service, version) (ota_build_info)", "{{service}} {{version}}"),
        ),
    ),
)

PIPELINE: Final = Dashboard(
    uid="ota-pipeline",
    title="OTA: pipeline, from the gateway to the ticket",
    about="Where a request spends its time, and what waits.",
    panels=(
        figure("Commands pending", "sum(ota_commands_pending)"),
        figure("Served partitions", "sum(ota_partitions_owned)"),
        figure(
            "Longest without an owner",
            "max(ota_partition_unserved_seconds)",
            "s",
            thresholds=(5, 15),
            about="Of all partitions; a hand-over takes a fraction of a second.",
        ),
        figure("Halted partitions", "sum(ota_partition_state == bool 2)", thresholds=(1,)),
        figure("Dead letters", "sum(ota_dead_letters_total)", thresholds=(1,)),
        figure("Fenced writes", "sum(ota_fenced_writes_total)", thresholds=(1,)),
        figure("Ledger conflicts", ever("ota_ledger_conflicts_total"), thresholds=(1,)),
        curves(
            "1 Round trip of a command",
            (quantile(0.5, "ota_command_round_trip_seconds", "le, topic"), "p50 {{topic}}"),
            (quantile(0.99, "ota_command_round_trip_seconds", "le, topic"), "p99 {{topic}}"),
            unit="s",
            about="From the gateway's use case to the answer; all hops below are in it.",
        ),
        curves(
            "2 Waiting at the broker, p99",
            (quantile(0.99, "ota_input_wait_seconds", "le, topic, job"), "{{job}} {{topic}}"),
            unit="s",
        ),
        curves(
            "3 Commit, p50 and p99",
            (quantile(0.5, "ota_batch_write_duration_seconds", "le, job"), "p50 {{job}}"),
            (quantile(0.99, "ota_batch_write_duration_seconds", "le, job"), "p99 {{job}}"),
            unit="s",
        ),
        curves(
            "4 Publishing, p99",
            (quantile(0.99, "ota_publish_duration_seconds", "le, job"), "{{job}}"),
            unit="s",
            about="From handing to the producer to the broker's acknowledgement.",
        ),
        curves("Messages in a batch, mean", (mean("ota_batch_messages", "job"), "{{job}}")),
        curves(
            "Commands by how they end",
            (rate("ota_commands_total", "service, outcome"), "{{service}} {{outcome}}"),
            unit="cps",
        ),
        curves(
            "Events recorded", (rate("ota_events_appended_total", "type"), "{{type}}"), unit="cps"
        ),
        curves(
            "Behind: records",
            (
                "sum by (consumergroup, topic) (kafka_consumergroup_lag)",
                "{{consumergroup}} {{topic}}",
            ),
        ),
        curves(
            "Behind: seconds",
            ("max by (job, topic) (ota_consumer_lag_seconds)", "{{job}} {{topic}}"),
            unit="s",
        ),
        curves("Events not yet published", ("sum by (job) (ota_outbox_pending)", "{{job}}")),
        curves(
            "Who serves what",
            ("ota_partition_state", "{{job}} {{partition}} {{instance}}"),
            about="0 standby, 1 owner, 2 halted.",
        ),
        curves(
            "What should not happen",
            (rate("ota_commands_unknown_outcome_total", "job"), "answers that did not come (504)"),
            (rate("ota_stale_commands_dropped_total", "job"), "too old: {{job}}"),
            (rate("ota_replies_unmatched_total", "job"), "answers that nobody awaited"),
            (rate("ota_event_gap_fills_total", "job"), "gaps filled: {{job}}"),
            (rate("ota_partition_failures_total", "job"), "serving failed: {{job}}"),
            unit="cps",
        ),
        curves(
            "Refused at once, as too much comes",
            (rate("ota_commands_shed_total", "job"), "commands of a partition that is behind"),
            (rate("ota_requests_shed_total", "job"), "requests whose turn came too late"),
            unit="cps",
        ),
        curves(
            "Repeats answered from the record",
            (rate("ota_replayed_answers_total", "job"), "{{job}}"),
        ),
        curves(
            "QR images",
            ("sum(ota_qr_jobs)", "lots in work"),
            ("sum(ota_qr_processes)", "workers"),
        ),
        curves(
            "Orders and tickets",
            (rate("ota_orders_total", "job"), "orders a second"),
            (rate("ota_tickets_issued_total", "job"), "tickets a second"),
        ),
    ),
)

DATASTORES: Final = Dashboard(
    uid="ota-datastores",
    title="OTA: Kafka and PostgreSQL",
    about="The two servers as the services see them, and as they see themselves.",
    panels=(
        figure("Databases that answer", 'sum(ota_dependency_up{dependency="postgres"})'),
        figure("Services with a broker", 'sum(ota_dependency_up{dependency="kafka"})'),
        figure(
            "Connections to PostgreSQL, share",
            "sum(max by (datname) (pg_stat_database_numbackends))"
            " / max(pg_settings_max_connections)",
            "percentunit",
            thresholds=(0.8,),
        ),
        figure(
            "Disk left, the fullest",
            'min(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes)',
            "percentunit",
            thresholds=(0.1,),
            low_is_bad=True,
        ),
        figure("Broken hashes", ever("ota_chain_breaks_total"), thresholds=(1,)),
        figure("Clock jumps", "max(ota_clock_jumps_total)", thresholds=(1,)),
        curves(
            "A small question's round trip",
            ("ota_dependency_round_trip_seconds", "{{job}} {{dependency}}"),
            unit="s",
        ),
        curves(
            "Records a second by topic",
            (
                (
                    "sum by (topic) (max by (topic, partition)"
                    " (rate(kafka_topic_partition_current_offset[$__rate_interval])))"
                ),
                "{{topic}}",
            ),
            unit="cps",
        ),
        curves(
            "Records not taken",
            ("sum by (topic) (kafka_consumergroup_lag)", "{{topic}}"),
        ),
        curves(
            "Transactions",
            (
                "max by (datname) (rate(pg_stat_database_xact_commit[$__rate_interval]))",
                "{{datname}}",
            ),
            (
                "max by (datname) (rate(pg_stat_database_xact_rollback[$__rate_interval]))",
                "{{datname}} rolled back",
            ),
            unit="cps",
        ),
        curves(
            "Rows inserted",
            (
                "max by (datname) (rate(pg_stat_database_tup_inserted[$__rate_interval]))",
                "{{datname}}",
            ),
            unit="cps",
        ),
        curves(
            "Found in the server's cache",
            (
                (
                    "max by (datname) (pg_stat_database_blks_hit"
                    " / (pg_stat_database_blks_hit + pg_stat_database_blks_read))"
                ),
                "{{datname}}",
            ),
            unit="percentunit",
        ),
        curves(
            "Size on disk",
            ("max by (datname) (pg_database_size_bytes)", "{{datname}}"),
            unit="bytes",
        ),
        curves("Deadlocks", ("max by (datname) (pg_stat_database_deadlocks)", "{{datname}}")),
        curves(
            "Pools: used of all",
            (
                (
                    'sum by (job, pool_name) (db_client_connections_usage{state="used"})'
                    " / sum by (job, pool_name) (db_client_connections_max)"
                ),
                "{{job}} {{pool_name}}",
            ),
            unit="percentunit",
        ),
        curves(
            "Pools: waiting",
            (
                "sum by (job, pool_name) (db_client_connections_pending_requests)",
                "{{job}} {{pool_name}}",
            ),
        ),
        curves(
            "Clocks against the database's",
            ("ota_clock_offset_seconds", "{{job}} {{instance}}"),
            unit="s",
        ),
        curves(
            "Events whose hash was checked",
            (rate("ota_chain_checked_events_total", "job"), "{{job}}"),
            unit="cps",
        ),
        curves(
            "Disk left",
            (
                'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}',
                "{{instance}} {{mountpoint}}",
            ),
            unit="bytes",
        ),
    ),
)

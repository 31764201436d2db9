"""What the gateway measures: its calls, its commands, its partners."""

from __future__ import annotations

from libs.runtime.metric_group import GATEWAY, HTTP_BUCKETS_S, MetricGroup


class GatewayMetrics(MetricGroup):
    """The gateway's part of the catalogue."""

    def _register_edge(self) -> None:
        self.http_server_request_duration_seconds = self._histogram(
            "http_server_request_duration_seconds",
            "Time from the request's head to the answer's end, by route template."
            " Exemplars name traces.",
            buckets=HTTP_BUCKETS_S,
            labels=("http_request_method", "http_route", "http_response_status_code"),
            services=GATEWAY,
        )
        self.command_round_trip_seconds = self._histogram(
            "ota_command_round_trip_seconds",
            "Time from a command's submission to its answer; outcome answered, unknown (no answer"
            " in time) or not_executed (never handed to Kafka).",
            buckets=HTTP_BUCKETS_S,
            labels=("topic", "outcome"),
            services=GATEWAY,
        )
        self.commands_pending = self._gauge(
            "ota_commands_pending",
            "Commands that wait for their answer.",
            unit="commands",
            services=GATEWAY,
        )
        self.replies_unmatched = self._counter(
            "ota_replies_unmatched_total",
            "Replies for which no request was waiting any more.",
            unit="replies",
            services=GATEWAY,
        )
        self.commands_unknown_outcome = self._counter(
            "ota_commands_unknown_outcome_total",
            "Commands handed to Kafka whose answer was not there in time (504).",
            unit="commands",
            services=GATEWAY,
        )

    def _register_connections(self) -> None:
        self.connections_open = self._gauge(
            "ota_connections_open",
            "Connections to the partner port.",
            unit="connections",
            services=GATEWAY,
        )
        self.connections_refused = self._counter(
            "ota_connections_refused_total",
            "Connections turned away, evicted, or ended for a head that cannot be read.",
            labels=("reason",),
            unit="connections",
            services=GATEWAY,
        )
        self.commands_shed = self._counter(
            "ota_commands_shed_total",
            "Commands refused (503) because their partition would not have answered soon.",
            unit="commands",
            services=GATEWAY,
        )
        self.requests_shed = self._counter(
            "ota_requests_shed_total",
            "Requests refused (503) unread because their turn came too late: too many have come.",
            unit="requests",
            services=GATEWAY,
        )
        self.audit_rows = self._counter(
            "ota_audit_rows_total", "Audit records that were stored.", unit="rows", services=GATEWAY
        )
        self.audit_dropped = self._counter(
            "ota_audit_dropped_total",
            "Calls whose audit record was given up: the store is away.",
            unit="calls",
            services=GATEWAY,
        )
        self.audit_backlog_rows = self._gauge(
            "ota_audit_backlog_rows", "Audit records that wait to be stored.", services=GATEWAY
        )
        self.qr_processes = self._gauge(
            "ota_qr_processes",
            "Worker processes that draw QR codes.",
            unit="processes",
            services=GATEWAY,
        )
        self.qr_jobs = self._gauge(
            "ota_qr_jobs", "Lots of images that are drawn or wait for a worker.", services=GATEWAY
        )

    def _register_partners(self) -> None:
        self.calls_over_limit = self._counter(
            "ota_calls_over_limit_total",
            "Calls refused (429) by the limit of their partner or of their source address.",
            labels=("limit",),
            unit="calls",
            services=GATEWAY,
        )
        self.partner_calls = self._counter(
            "ota_partner_calls_total",
            "Calls by partner; outcome answered, refused (4xx), limited (429) or failed (5xx).",
            labels=("partner_id", "outcome"),
            unit="calls",
            services=GATEWAY,
        )
        self.partner_limit_calls = self._gauge(
            "ota_partner_limit_calls",
            "Calls that a partner may make in 60 seconds.",
            labels=("partner_id",),
            services=GATEWAY,
        )
        self.partner_remaining_calls = self._gauge(
            "ota_partner_remaining_calls",
            "Calls that a partner has left, as far as this gateway knows.",
            labels=("partner_id",),
            services=GATEWAY,
        )
        self.partner_access_ends = self._gauge(
            "ota_partner_access_ends_timestamp_seconds",
            "When the last key of a partner ends; absent while one of them has no end.",
            labels=("partner_id",),
            services=GATEWAY,
        )
        self.directory_version = self._gauge(
            "ota_directory_version",
            "Version of partners and keys; each operator's change raises it.",
            unit="changes",
            services=GATEWAY,
        )
        self.directory_unconfirmed_seconds = self._gauge(
            "ota_directory_unconfirmed_seconds",
            "How long the partners' keys have not been confirmed by the database.",
            services=GATEWAY,
        )

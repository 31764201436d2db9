"""Spans for a collector: optional, made after the fact, and exported in the background.

Trace ids go through headers, messages, events and logs in any case, by hand. Here spans are
made of what was measured anyway and handed to OpenTelemetry's exporter: nothing is kept in
context variables, so off costs nothing. Environment variables of OpenTelemetry say where to
and how much (docs/tracing.md).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, SpanKind

log = structlog.get_logger()

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Without one of these no span is made."""
SAMPLED = 1
CLOSE_S = 1.0
CLOSING = "tracing-close"

Value = str | int | float | bool


_FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})\Z")


def is_sampled(traceparent: str) -> bool:
    """Say whether whoever began the trace wants its spans; what is no context is in no trace."""
    found = _FORM.match(traceparent)
    return found is not None and bool(int(found["flags"], 16) & SAMPLED)


def start_tracing(*, service: str, version: str) -> Tracing | None:
    """Return what spans are given to; None when nobody asked for them or nothing can send them."""
    if not any(map(os.environ.get, ENDPOINTS)):
        return None
    try:
        return Tracing(service=service, version=version)
    except ImportError as error:
        log.warning("tracing.off", reason=f"{error}; install the extra: pip install '.[otel]'")
        return None


class Tracing:
    """Takes the spans of one process.

    Raises ImportError where the extra ``otel`` is not installed.
    """

    def __init__(self, *, service: str, version: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import Decision

        resource = Resource.create({"service.name": service, "service.version": version})
        # Only its sampler is used: the one that OTEL_TRACES_SAMPLER names.
        self._sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
        self._sample = Decision.RECORD_AND_SAMPLE
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        self._new_id = RandomIdGenerator().generate_span_id
        self._resource = resource
        self._span = ReadableSpan
        self._trace = trace

    def begin(self, traceparent: str) -> str:
        """Return the context of a trace that begins here, sampled or not."""
        told = self._sampler.should_sample(None, int(traceparent[3:35], 16), "")
        flags = SAMPLED if told.decision is self._sample else 0
        return f"{traceparent[:53]}{flags:02x}"

    def step(
        self, name: str, traceparent: str, *, duration_s: float, attributes: Mapping[str, Value]
    ) -> None:
        """Take a span that ends now, of what a message with *traceparent* led to."""
        if is_sampled(traceparent):
            self._end(
                name,
                kind=self._trace.SpanKind.CONSUMER,
                context=self._context(traceparent, span_id=self._new_id()),
                parent=self._context(traceparent),
                duration_s=duration_s,
                attributes=attributes,
            )

    def request(
        self,
        name: str,
        traceparent: str,
        *,
        given: str | None,
        duration_s: float,
        attributes: Mapping[str, Value],
        failed: bool,
    ) -> None:
        """Take the span of a request that ends now; *given* is its caller's ``traceparent``."""
        if is_sampled(traceparent):
            continued = given is not None and given[3:35] == traceparent[3:35]
            self._end(
                name,
                kind=self._trace.SpanKind.SERVER,
                context=self._context(traceparent),
                parent=self._context(given) if given is not None and continued else None,
                duration_s=duration_s,
                attributes=attributes,
                failed=failed,
            )

    def close(self) -> None:
        """Send what is left, if that can be done soon."""
        # A collector that is away must not keep the process from ending.
        sending = threading.Thread(target=self._processor.shutdown, name=CLOSING, daemon=True)
        sending.start()
        sending.join(CLOSE_S)

    def _context(self, traceparent: str, *, span_id: int | None = None) -> SpanContext:
        return self._trace.SpanContext(
            trace_id=int(traceparent[3:35], 16),
            span_id=int(traceparent[36:52], 16) if span_id is None else span_id,
            is_remote=False,
            trace_flags=self._trace.TraceFlags(SAMPLED),
        )

    def _end(
        self,
        name: str,
        *,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        duration_s: float,
        attributes: Mapping[str, Value],
        failed: bool = False,
    ) -> None:
        code = self._trace.StatusCode.ERROR if failed else self._trace.StatusCode.UNSET
        ended_ns = time.time_ns()
        self._processor.on_end(
            self._span(
                name,
                context=context,
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                status=self._trace.Status(code),
                start_time=ended_ns - round(duration_s * 1e9),
                end_time=ended_ns,
            )
        )

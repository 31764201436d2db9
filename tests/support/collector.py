"""A collector of spans: takes OpenTelemetry's protocol over HTTP and keeps what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span as it came, with the service that sent it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    took_ns: int
    failed: bool
    attributes: dict[str, object]


class Collector:
    """Has every span that arrived."""

    def __init__(self, *, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._lock = threading.Lock()
        self._spans: list[Span] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of a request."""
        for of_process in request.resource_spans:
            (service,) = (
                each.value.string_value
                for each in of_process.resource.attributes
                if each.key == "service.name"
            )
            found = [span for scope in of_process.scope_spans for span in scope.spans]
            with self._lock:
                self._spans += [_span(service, each) for each in found]

    def of_trace(self, trace_id: str) -> list[Span]:
        """Return the spans of one trace."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]


def _span(service: str, sent: Sent) -> Span:
    return Span(
        service=service,
        name=sent.name,
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        kind=sent.kind,
        took_ns=sent.end_time_unix_nano - sent.start_time_unix_nano,
        failed=sent.status.code == sent.status.STATUS_CODE_ERROR,
        attributes={
            each.key: getattr(each.value, str(each.value.WhichOneof("value")))
            for each in sent.attributes
        },
    )


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Give a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert "/v1/traces" == self.path
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

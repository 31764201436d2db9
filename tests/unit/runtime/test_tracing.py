"""Spans: of the caller's trace, only where they are wanted, and none without the extra."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from libs.runtime.tracing import CLOSING, ENDPOINTS, Tracing, is_sampled, start_tracing
from tests.support.collector import Collector, running_collector

TRACE, SPAN, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"
OURS = f"00-{TRACE}-{SPAN}-01"
SERVER, CONSUMER = 2, 5


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    with running_collector() as running:
        monkeypatch.setenv(ENDPOINTS[0], running.url)
        yield running


def started() -> Tracing:
    """Return what spans are given to."""
    tracing = start_tracing(service="gateway", version="1")
    assert tracing is not None
    return tracing


def request(tracing: Tracing, traceparent: str, *, given: str | None, failed: bool = False) -> None:
    """Give a request's span."""
    tracing.request(
        "POST /x",
        traceparent,
        given=given,
        duration_s=0.25,
        attributes={"http.response.status_code": 201},
        failed=failed,
    )


def test_a_request_is_a_child_of_its_callers_span(collector: Collector) -> None:
    """With the id that its messages name, so that what they lead to hangs below it."""
    tracing = started()
    request(tracing, OURS, given=f"00-{TRACE}-{CALLER}-01", failed=True)
    tracing.step("ota.inventory.place_hold", OURS, duration_s=0.1, attributes={"n": 3})
    tracing.close()
    first, second = collector.of_trace(TRACE)
    assert ("gateway", "POST /x", SPAN, CALLER, SERVER, True) == (
        first.service,
        first.name,
        first.span_id,
        first.parent_id,
        first.kind,
        first.failed,
    )
    assert {"http.response.status_code": 201} == first.attributes
    assert 250_000_000 == first.took_ns
    assert (SPAN, CONSUMER, False) == (second.parent_id, second.kind, second.failed)
    assert second.span_id not in {SPAN, CALLER, "0" * 16}


def test_a_trace_that_begins_here_has_no_parent(collector: Collector) -> None:
    """Also when the caller sent something, which was no trace."""
    tracing = started()
    for given in (None, "nonsense", f"00-{'0' * 32}-{CALLER}-01"):
        request(tracing, OURS, given=given)
    tracing.close()
    assert [("", SPAN)] * 3 == [(s.parent_id, s.span_id) for s in collector.of_trace(TRACE)]


def test_what_is_not_sampled_is_not_sent(collector: Collector) -> None:
    """The flag of whoever began the trace counts; a broken context is no trace."""
    tracing = started()
    for context in (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-02", "broken", ""):
        assert not is_sampled(context)
        request(tracing, context, given=None)
        tracing.step("x", context, duration_s=0.1, attributes={})
    request(tracing, f"00-{TRACE}-{SPAN}-03", given=None)
    tracing.close()
    assert 1 == len(collector.of_trace(TRACE))


@pytest.mark.parametrize("sampler, flags", [("always_on", "01"), ("always_off", "00")])
def test_whether_a_new_trace_is_sampled_is_opentelemetrys_setting(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str, flags: str
) -> None:
    """Its own variable says how many."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    tracing = started()
    assert f"00-{TRACE}-{SPAN}-{flags}" == tracing.begin(f"00-{TRACE}-{SPAN}-00")
    tracing.close()


def test_nobody_asked_for_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address nothing is loaded."""
    for name in ENDPOINTS:
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with capture_logs() as logged:
        assert start_tracing(service="gateway", version="1") is None
    assert [] == logged


def test_without_the_extra_the_service_runs_and_says_so(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the command that gets it."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with capture_logs() as logged:
        assert start_tracing(service="gateway", version="1") is None
    (line,) = logged
    assert ("tracing.off", "warning") == (line["event"], line["log_level"])
    assert "pip install '.[otel]'" in line["reason"]


def test_a_collector_that_hangs_keeps_nobody_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent in a moment is lost: the process does not wait for the answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINTS[0], f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracing = started()
        request(tracing, OURS, given=None)
        tracing.close()
        (closing,) = (each for each in threading.enumerate() if each.name == CLOSING)
    closing.join()

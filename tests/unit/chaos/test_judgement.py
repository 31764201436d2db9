"""What is judged at the end: slow answers, counters over restarts, what the history keeps."""

from __future__ import annotations

import json

from chaos.checks import Finding, Wait, slow_answers
from chaos.counters import WANTED, Sums, sometimes
from chaos.history import kept

SECOND = 1_000_000_000
SLOW = {
    "op": "reserve",
    "path": "/x",
    "gateway": "127.0.0.1:1",
    "invoked_ns": 10 * SECOND,
    "completed_ns": 13 * SECOND,
    "status": 201,
    "took_s": 3.0,
}
GATEWAYS = {"127.0.0.1:1": "gateway-1"}


def fault(*targets: str, at: int, healed: int) -> dict[str, object]:
    """Return a fault between two seconds."""
    return {"targets": list(targets), "at_ns": at * SECOND, "healed_ns": healed * SECOND}


def slow(
    *faults: dict[str, object],
    lags: tuple[tuple[int, float], ...] = (),
    waits: tuple[Wait, ...] = (),
) -> Finding:
    """Judge the one slow answer."""
    return slow_answers([SLOW], gateways=GATEWAYS, faults=faults, lags=lags, waits=waits, answers=5)


def test_a_slow_answer_is_a_finding() -> None:
    """Also when something else, or the other gateway, or the same one later, was hurt."""
    assert not slow().passed
    assert not slow(fault("inventory-1", at=9, healed=14)).passed
    assert not slow(fault("gateway-2", at=9, healed=14)).passed
    assert not slow(fault("gateway-1", at=14, healed=20)).passed
    assert not slow(fault("gateway-1", at=1, healed=4)).passed


def test_a_hurt_gateway_may_hold_its_answers() -> None:
    """While it is hurt and a moment afterwards."""
    assert slow(fault("gateway-1", at=11, healed=12)).passed
    assert slow(fault("gateway-1", at=5, healed=9)).passed


def test_the_harness_does_not_count_its_own_lag() -> None:
    """What the load and the proxy were late themselves in these seconds is taken off."""
    assert slow(lags=((11 * SECOND, 0.6), (12 * SECOND, 0.5))).passed
    assert not slow(lags=((11 * SECOND, 0.6), (12 * SECOND, 0.3))).passed
    assert not slow(lags=((2 * SECOND, 5.0), (20 * SECOND, 5.0))).passed


def test_a_gateway_without_a_processor_is_not_late_itself() -> None:
    """What the kernel counts of just this gateway and just this time is taken off."""
    here = tuple(Wait("gateway-1", (10 + each) * SECOND, 0.4) for each in range(1, 4))
    assert slow(waits=here).passed
    assert not slow(waits=here[:2]).passed
    assert not slow(waits=tuple(Wait("gateway-2", x.at_ns, x.waited_s) for x in here)).passed
    assert not slow(waits=(Wait("gateway-1", 9 * SECOND, 5.0),)).passed
    assert not slow(waits=(Wait("gateway-1", 14 * SECOND, 5.0),)).passed


def test_nothing_looked_at_is_not_passed() -> None:
    """A check without anything to check shows nothing."""
    assert not Finding("x", 0).passed
    assert Finding("x", 1).passed


def test_counters_survive_restarts() -> None:
    """What a process counted before it was killed stays counted."""
    sums = Sums()
    for value in (5.0, 7.0, 2.0, 3.0):
        sums.take("inventory-1", [("ota_fenced_writes_total", "", value)])
    sums.take("inventory-2", [("ota_fenced_writes_total", "", 1.0), ("ota_other", "", 9.0)])
    assert {"fenced writes": 11} == dict(sums.sums)


def test_every_wanted_counter_is_told() -> None:
    """Zero, where nothing happened."""
    found = sometimes(sums={}, logs={}, lost={}, model={"counts": {"race 201": 3}})
    assert set(WANTED) <= set(found)
    assert 3 == found["expiry lost to activation"]
    assert 0 == found["fenced writes"]


def test_the_history_keeps_what_is_compared() -> None:
    """The text of a mutation without images; a read without price tables."""
    raw = b'{"order_id":"O","tickets":[{"qr_code":"data:image/png;base64,AA==","ticket_code":"T"}]}'
    text = kept(raw, mutation=True)
    assert {"order_id": "O", "tickets": [{"ticket_code": "T"}]} == json.loads(text)
    read = kept(b'{"inventory":[1],"pricing_context":{}}', mutation=False)
    assert {"inventory": [1]} == read
    assert "<html>" == kept(b"<html>", mutation=False)

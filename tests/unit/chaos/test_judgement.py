"""What is judged at the end: slow answers, counters over restarts, what the history keeps."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chaos.caller import SLOW_S, Call, Caller, Partner
from chaos.checks import Finding, Wait, slow_answers
from chaos.counters import RESOLVED, WANTED, Sums, logged, sometimes
from chaos.history import History, kept
from chaos.power_cut import first_seen, judges
from chaos.report import Outcome

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
URL = "http://127.0.0.1:1"
GATEWAYS = {"127.0.0.1:1": "gateway-1"}


def fault(*targets: str, at: int, healed: int, holds: str = "killed") -> dict[str, object]:
    """Return a fault between two seconds."""
    return {
        "fault": "F1",
        "targets": list(targets),
        "holds": holds,
        "at_ns": at * SECOND,
        "healed_ns": healed * SECOND,
    }


class Silent:
    """A session whose every request ends in an error after so long."""

    def __init__(self, seconds: float, error: Exception) -> None:
        self.seconds, self.error = seconds, error

    @asynccontextmanager
    async def request(self, *_: object, **__: object) -> AsyncIterator[None]:
        """Wait and fail."""
        await asyncio.sleep(self.seconds)
        raise self.error
        yield


class Unkept(History):
    """A history that nobody will read."""

    def __init__(self) -> None:
        pass

    def add(self, line: Mapping[str, Any]) -> None:
        """Forget a line."""


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


def test_only_what_holds_a_gateway_excuses_it() -> None:
    """A restart does not; it is told which fault excused how many."""
    assert not slow(fault("gateway-1", at=9, healed=14, holds="")).passed
    found = slow(
        fault("gateway-1", at=9, healed=14, holds=""),
        fault("gateway-1", at=9, healed=14, holds="stopped"),
    )
    assert {"F1 stopped": 1} == found.excused


async def test_a_call_without_any_answer_is_slow_too() -> None:
    """What broke at once is not; what was given up after two seconds counts like an answer."""
    caller = Caller(urls=[URL], history=Unkept(), dice=random.Random(0))
    partner = Partner(name="p", key="k", channel="ota")
    for seconds, error in ((0.0, ConnectionResetError()), (SLOW_S, TimeoutError())):
        caller.session = Silent(seconds, error)  # type: ignore[assignment]
        await caller.send(Call(partner=partner, op="reserve", method="POST", path="/x"))
    (found,) = caller.slow
    assert found["status"] is None
    assert found["took_s"] >= SLOW_S
    judged = slow_answers(caller.slow, gateways={}, faults=(), lags=(), waits=(), answers=2)
    assert "without an answer" in judged.wrong[0]


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


def test_unknown_commits_are_resolved_by_the_next_owner(tmp_path: Path) -> None:
    """Its position tells whether the batch is there; who lost an answer himself tells nothing."""
    lines = [
        said("write.unanswered", epoch=4, seq=10, events=2),
        said("partition.owned", epoch=6, seq=12),
        said("write.unanswered", epoch=6, seq=20, events=1),
        said("write.unanswered", epoch=7, seq=20, events=0),
        said("partition.owned", epoch=8, seq=20),
        said("write.unanswered", epoch=8, seq=30, events=1),
        said("partition.owned", epoch=5, seq=99, partition=2),
        '{"event": "partition.owned", "epo',
    ]
    (tmp_path / "inventory-1.log").write_text("\n".join(lines[::2]))
    (tmp_path / "inventory-2.log").write_text("\n".join(lines[1::2]))
    found = logged(tmp_path)
    assert 2 == found[RESOLVED]
    assert 1 == found[f"{RESOLVED}, the batch was there"]
    assert 1 == found[f"{RESOLVED}, the batch was not there"]
    counted = sometimes(sums={}, logs={}, lost={"write": 9}, model={"counts": {}})
    assert 0 == counted[RESOLVED]
    assert 9 == counted["commits whose answer the proxy lost"]


def said(event: str, **fields: int) -> str:
    """Return a log line of inventory's first partition."""
    return json.dumps({"event": event, "service.name": "inventory", "partition": 1, **fields})


def an_outcome(**fields: Any) -> Outcome:
    """Return the outcome of a run in which all was well."""
    made: dict[str, Any] = {
        "command": "x",
        "commit": {"id": None, "changed_files": None},
        "seed": 1,
        "minutes": 1.0,
        "began_ns": 0,
        "faults": (),
        "left_out": (),
        "seconds": (),
        "findings": (Finding("x", 1),),
        "counters": dict.fromkeys(WANTED, 1),
        "wanted": frozenset(("F9",)),
        "recovery_s": 0.1,
    }
    return Outcome(**{**made, **fields})


def test_a_run_in_which_something_never_happened_has_not_passed() -> None:
    """Unless no chosen fault leads to it."""
    assert an_outcome().passed
    unresolved = dict.fromkeys(WANTED, 1) | {RESOLVED: 0}
    found = an_outcome(counters=unresolved)
    assert found.held
    assert not found.passed
    assert an_outcome(counters=unresolved, wanted=frozenset(("F1",))).passed


def test_a_power_cut_names_who_noticed() -> None:
    """Checks of promises and programs; that something was slow shows no loss."""
    names = ("every activation has its order", "everything works again 10 s after the last fault")
    plain = {
        "findings": [{"name": name, "wrong": ["O-1:\n not there"]} for name in names],
        "programs": [
            {"name": "ota_checker", "code": 1, "words": ["I1 passed", "✗ I3: a hold is lost"]},
            {"name": "ota_verify", "code": 0, "words": ["✓ sound"]},
        ],
    }
    assert [names[0], "ota_checker"] == judges(plain)
    assert "I3: a hold is lost" == first_seen(plain)
    assert "O-1: not there" == first_seen({**plain, "programs": []})
    assert [] == judges({"findings": plain["findings"][1:], "programs": []})


def test_the_history_keeps_what_is_compared() -> None:
    """The text of a mutation without images; a read without price tables."""
    raw = b'{"order_id":"O","tickets":[{"qr_code":"data:image/png;base64,AA==","ticket_code":"T"}]}'
    text = kept(raw, mutation=True)
    assert {"order_id": "O", "tickets": [{"ticket_code": "T"}]} == json.loads(text)
    read = kept(b'{"inventory":[1],"pricing_context":{}}', mutation=False)
    assert {"inventory": [1]} == read
    assert "<html>" == kept(b"<html>", mutation=False)

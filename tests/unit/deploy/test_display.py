"""What the commands print."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.local.display import farewell, progress, status_json, status_table
from deploy.local.machine import Finding, how_to_get
from deploy.local.processes import Running
from deploy.local.settings import parse
from deploy.local.state import ProcessPhase, ProcessState, StackState

SETTINGS = parse(environment={}, checkout=Path("/checkout"))
KAFKA = ProcessState("kafka", ProcessPhase.READY, Running(7, "m"), "127.0.0.1:9092", restarts=1)
GATEWAY = ProcessState("gateway", ProcessPhase.WAITING, None, "127.0.0.1:8080")
STATE = StackState(Running(1, "m"), processes={"kafka": KAFKA, "gateway": GATEWAY})


def test_progress_tells_each_change_once() -> None:
    """A process that has become ready gives a line; one that still waits, or is known, none."""
    lines = progress(before={}, now=STATE.processes, elapsed_s=1.25)
    assert ["   1.2 s  kafka                ready      127.0.0.1:9092"] == lines
    assert [] == progress(before=STATE.processes, now=STATE.processes, elapsed_s=2.0)


def test_the_table_has_every_process() -> None:
    """Id, address, state and restarts are there; what does not run has no id."""
    rows = [line.split() for line in status_table(state=STATE, phase="ready").splitlines()]
    assert ["kafka", "7", "127.0.0.1:9092", "ready", "1"] in rows
    assert ["gateway", "-", "127.0.0.1:8080", "waiting", "0"] in rows


def test_programs_get_the_same_as_json() -> None:
    """The names that other programs rely on are there."""
    found = json.loads(
        status_json(settings=SETTINGS, state=STATE, phase="ready", leftovers=[Running(9, "m")])
    )
    assert "ready" == found["phase"]
    assert {
        "name": "kafka",
        "pid": 7,
        "address": "127.0.0.1:9092",
        "state": "ready",
        "restarts": 1,
    } == found["processes"][0]
    assert [9] == found["leftover_pids"]
    assert "http://127.0.0.1:8080/api/ota" == found["urls"]["partner API"]


def test_the_farewell_has_a_line_to_paste() -> None:
    """Address and key are filled in."""
    line = "curl -H 'X-API-Key: ota_test_key_12345' http://127.0.0.1:8080/api/ota/inventory"
    assert line in farewell(settings=SETTINGS)
    assert "make demo" in farewell(settings=SETTINGS)


def test_what_is_missing_comes_with_the_command_that_gets_it() -> None:
    """Each lack is a line, and one command gets all of them."""
    text = how_to_get(
        missing=[
            Finding("PostgreSQL", "postgresql", None, "PostgreSQL not found"),
            Finding("Maven", "maven", None, "Maven not found"),
        ]
    )
    assert "  - PostgreSQL not found\n  - Maven not found\n" in text
    assert (
        "sudo apt-get update && sudo apt-get install --no-install-recommends postgresql maven"
        in text
    )
    assert "create_main_cluster = false" in text
    assert "brew install postgresql@15 maven" in text

"""The state file: what was told is read back, damage is named, locks end with their holder."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.processes import Running
from deploy.local.state import (
    FolderLock,
    Phase,
    ProcessPhase,
    ProcessState,
    StackState,
    StateError,
    decode,
    encode,
    read,
    write,
)

KAFKA = ProcessState(
    "kafka", ProcessPhase.READY, Running(7, "boot:99", 15), "127.0.0.1:9092", restarts=2
)
STATE = StackState(
    supervisor=Running(6, "boot:98"),
    phase=Phase.FAILED,
    cycle=3,
    failure="gateway ended with code 2",
    failed_process="gateway",
    processes={"postgres": ProcessState("postgres"), "kafka": KAFKA},
)


def test_a_state_is_read_back_as_it_was_told() -> None:
    """Encoding and decoding change nothing, the order of processes included."""
    found = decode(text=encode(state=STATE))
    assert found == STATE
    assert ["postgres", "kafka"] == list(found.processes)


def test_a_state_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A second write leaves the second state and no other file."""
    file = tmp_path / "state.json"
    assert read(file=file) is None
    write(file=file, state=STATE)
    write(file=file, state=STATE.with_process(ProcessState("gateway")))
    found = read(file=file)
    assert found is not None
    assert ["postgres", "kafka", "gateway"] == list(found.processes)
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"processes": 1}', encode(state=STATE)[:-9]])
def test_a_damaged_state_is_named_and_not_guessed(text: str) -> None:
    """Whatever is not a whole state raises the error that tells what to do."""
    with pytest.raises(StateError):
        decode(text=text)


def test_processes_of_another_life_are_no_leftovers() -> None:
    """A recorded process id that now belongs to something else is not ours to end."""
    assert [] == STATE.leftovers


def test_a_lock_is_held_by_one_and_free_again_after(tmp_path: Path) -> None:
    """While one has it another cannot, and sees so; afterwards it can."""
    mine, other = FolderLock(file=tmp_path / "lock"), FolderLock(file=tmp_path / "lock")
    assert not other.held_elsewhere
    assert mine.acquire()
    assert not other.acquire()
    assert other.held_elsewhere
    assert not mine.held_elsewhere
    mine.release()
    assert other.acquire()
    other.release()

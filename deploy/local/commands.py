"""The commands of the local stack: up, down, status, logs, roll, reset, clean, doctor, prepare."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from deploy.local import display, logs, ports
from deploy.local.kafka import KafkaSetupError
from deploy.local.kafka_jars import jar_folder, jar_version
from deploy.local.machine import MachineError, disk_advice, find_chromium, how_to_get, provide
from deploy.local.plan import STOP_BUDGET_S
from deploy.local.postgres import PostgresError
from deploy.local.processes import stop_leftover, tail, wait_until
from deploy.local.settings import SERVICES, SettingsError, load
from deploy.local.stack import Stack, StackError, find_tools, provide_tools, shown
from deploy.local.state import Phase, ProcessPhase, ProcessState, StackState, StateError
from deploy.local.supervisor import Supervisor

UP_TIMEOUT_S: Final = 300.0
DOWN_TIMEOUT_S: Final = 75.0
# What the stack puts into its data folder; `clean` removes these and nothing else.
OWN_FILES: Final = (
    "postgres",
    "kafka",
    "monitoring",
    "demo",
    "log",
    "seeded",
    "state.json",
    "state.new",
    "secrets.env",
    "secrets.new",
    "reset.pending",
    "roll.asked",
    "supervisor.lock",
    "command.lock",
    "bootstrap.lock",
)
_EXPECTED: Final = (
    SettingsError,
    StackError,
    StateError,
    MachineError,
    KafkaSetupError,
    PostgresError,
)


def main(*, arguments: list[str]) -> int:
    """Run one command and return its exit code; what a person can mend is told in words."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = {
        "up": up,
        "down": down,
        "status": status,
        "logs": show_logs,
        "roll": roll,
        "reset": reset,
        "clean": clean,
        "doctor": doctor,
        "prepare": prepare,
        "supervise": supervise,
    }
    parser.add_argument("command", choices=[name for name in commands if name != "supervise"])
    name = arguments[0] if arguments == ["supervise"] else parser.parse_args(arguments).command
    try:
        return commands[name](Stack(load(process_environment=os.environ)))
    except _EXPECTED as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `make logs | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def up(stack: Stack) -> int:
    """Bring the stack up, or say where it is if it is up already."""
    with _one_command_at_a_time(stack):
        return _up(stack)


def _up(stack: Stack) -> int:
    settings = stack.settings
    state = stack.state()
    if stack.is_running() and state is not None:
        given_up = [each for each in state.processes.values() if each.phase is ProcessPhase.FAILED]
        if state.phase is Phase.READY and given_up:
            _say(f"{given_up[0].name} had died too often: starting everything again")
            _down(stack)
        elif state.phase is Phase.READY:
            _say("already running")
            _say(display.status_table(state=state, phase=state.phase))
            _say(display.farewell(settings=settings))
            return 0
        elif state.phase in {Phase.FAILED, Phase.STOPPING}:
            _await_end(stack)
    if not stack.is_running():
        _end_leftovers(stack)
        tools = provide_tools(settings=settings, say=_say)
        stack.check_files()
        if complaints := ports.taken(addresses=settings.addresses):
            raise StackError("\n".join(complaints))
        stack.make_plan(tools=tools)
        _say(f"starting PostgreSQL, Kafka and four services in {shown(path=settings.data_dir)}")
        process = stack.spawn_supervisor()
        if process.poll() is not None:
            _complain(*tail(log=stack.launcher_log, lines=20), "the launcher ended at once")
            return 1
    try:
        ready = _follow(stack, cycle=1, seen={})
    except KeyboardInterrupt:
        _say("interrupted: stopping what was started")
        _down(stack)
        return 130
    if ready:
        _say(display.farewell(settings=settings))
    return 0 if ready else 1


def down(stack: Stack) -> int:
    """Stop exactly what `up` started; the data stays."""
    with _one_command_at_a_time(stack):
        return _down(stack)


def _down(stack: Stack) -> int:
    state = stack.state()
    if not stack.is_running() or state is None:
        ended = _end_leftovers(stack)
        _say(f"stopped {ended} leftover processes" if ended else "nothing is running")
        return 0
    started_at_s = time.monotonic()
    with suppress(ProcessLookupError):
        os.kill(state.supervisor.pid, signal.SIGTERM)
    _await_end(stack)
    _say(
        f"stopped in {time.monotonic() - started_at_s:.1f} s; the data stays in "
        f"{shown(path=stack.settings.data_dir)}"
    )
    return 0


def status(stack: Stack) -> int:
    """Print every process with its id, address, state and restarts; FORMAT=json for programs."""
    state = stack.state()
    alive = stack.is_running()
    leftovers = [] if alive or state is None else state.leftovers
    phase = state.phase.value if alive and state is not None else Phase.STOPPED.value
    if state is not None and state.phase is Phase.FAILED:
        phase = Phase.FAILED.value
    if os.environ.get("FORMAT") == "json":
        _say(
            display.status_json(
                settings=stack.settings, state=state, phase=phase, leftovers=leftovers
            )
        )
    elif state is None or (not alive and not state.failure):
        _say("stack: stopped (`make up` starts it)")
    else:
        _say(display.status_table(state=state, phase=phase))
    if leftovers:
        pids = ", ".join(str(each.pid) for each in leftovers)
        _complain(f"the launcher was killed and left processes {pids}: `make down` ends them")
    return 0


def show_logs(stack: Stack) -> int:
    """Print the end of the logs and, on a terminal, what is added; SERVICE=name for one, FOLLOW=0
    to stop there, LEVEL=warning, TRACE=id, GREP=text for what is wanted, FORMAT=json unchanged.
    """
    follow = os.environ.get("FOLLOW", "1" if sys.stdout.isatty() else "0") != "0"
    names = logs.choose(log_dir=stack.settings.log_dir, wanted=os.environ.get("SERVICE", ""))
    with suppress(KeyboardInterrupt):
        logs.show(
            log_dir=stack.settings.log_dir,
            names=names,
            follow=follow,
            wish=logs.wish_of(os.environ),
        )
    return 0


def roll(stack: Stack) -> int:
    """Restart every process of all services, or of SERVICE=name, without a request lost."""
    names = [name for name in SERVICES if name == os.environ.get("SERVICE", name)]
    if not names:
        raise StackError(f"SERVICE must be one of {', '.join(SERVICES)}")
    with _one_command_at_a_time(stack):
        state = stack.state()
        if not stack.is_running() or state is None or state.phase is not Phase.READY:
            raise StackError("the stack is not up: start it with `make up`")
        # Callers last, so that each new one meets what it is to run with.
        stack.roll_marker.write_text(" ".join(sorted(names, key="gateway".__eq__)))
        os.kill(state.supervisor.pid, signal.SIGUSR2)
        return _follow_roll(stack, state)


def _follow_roll(stack: Stack, before: StackState) -> int:
    started_at_s, seen = time.monotonic(), before.processes
    while time.monotonic() - started_at_s < UP_TIMEOUT_S and stack.is_running():
        state = stack.state()
        if state is not None:
            elapsed_s = time.monotonic() - started_at_s
            for line in display.progress(before=seen, now=state.processes, elapsed_s=elapsed_s):
                _say(line)
            seen = state.processes
            if state.rolls > before.rolls:
                if state.roll_failure:
                    _complain(state.roll_failure)
                return 1 if state.roll_failure else 0
        time.sleep(0.05)
    _complain("the rolling restart did not come to its end: see `make status` and `make logs`")
    return 1


def reset(stack: Stack) -> int:
    """Put the data back to the seed; brings the stack up if it is down."""
    with _one_command_at_a_time(stack):
        state = stack.state()
        if not stack.is_running() or state is None or state.phase is not Phase.READY:
            _say("the stack is not up: it starts with fresh data")
            stack.settings.data_dir.mkdir(parents=True, exist_ok=True)
            stack.wipe_marker.touch()
            return _up(stack)
        os.kill(state.supervisor.pid, signal.SIGUSR1)
        ready = _follow(stack, cycle=state.cycle + 1, seen=state.processes)
        if ready:
            _say("the data is the development seed again")
        return 0 if ready else 1


def clean(stack: Stack) -> int:
    """Stop the stack and delete its data folder."""
    data_dir = stack.settings.data_dir
    with _one_command_at_a_time(stack):
        _down(stack)
        state = stack.state()
        if stack.is_running() or (state is not None and state.leftovers):
            raise StackError("something of the stack still runs: nothing was deleted")
        for name in OWN_FILES:
            path = data_dir / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    with suppress(OSError):
        data_dir.rmdir()
    _say(f"deleted {shown(path=data_dir)}")
    return 0


def doctor(stack: Stack) -> int:
    """Say what the machine has, what is missing, and how to get it."""
    settings = stack.settings
    findings = find_tools(settings=settings)
    problems = [each.problem for each in findings if each.place is None]
    for each in findings:
        _say(f"{'ok' if each.place else 'MISSING':<8} {each.name:<16} {each.place or each.problem}")
    if jar_folder().exists():
        _say(f"ok       Kafka {jar_version():<10} {shown(path=jar_folder())}")
    else:
        _say(f"later    Kafka {jar_version():<10} the first `make up` fetches its jars")
    if advice := disk_advice():
        _say(f"advice   disk             for a steady p99 under load: {advice} (docs/sizing.md)")
    if problems:
        _say(how_to_get(missing=[each for each in findings if each.place is None]))
    if stack.is_running():
        _say("ok       stack            is running (`make status`)")
    else:
        for complaint in ports.taken(addresses=settings.addresses):
            problems.append(complaint)
            _say(f"TAKEN    {complaint}")
    try:
        stack.check_files()
    except StackError as error:
        problems.append(str(error))
        _say(f"MISSING  {error}")
    return 1 if problems else 0


def prepare(stack: Stack) -> int:
    """Get everything that a start needs from the machine and from Maven, and start nothing.

    For tests, so with the browser that looks at the console.
    """
    provide_tools(settings=stack.settings, say=_say)
    log = stack.settings.log_dir / "install.log"
    provide(look=lambda: [find_chromium()], say=_say, log=log)
    return 0


def supervise(stack: Stack) -> int:
    """Be the background process (started by `up`, not by people)."""
    lock = stack.supervisor_lock
    # A moment of patience: `status` and others hold the lock for an instant when they look at it.
    if not wait_until(condition=lock.acquire, timeout_s=2):
        raise StackError("another launcher works on this data folder")
    tools = provide_tools(settings=stack.settings, say=_say)
    supervisor = Supervisor(
        plan=stack.make_plan(tools=tools),
        state_file=stack.state_file,
        wipe_marker=stack.wipe_marker,
        roll_marker=stack.roll_marker,
    )
    return 0 if asyncio.run(supervisor.run()) else 1


@contextmanager
def _one_command_at_a_time(stack: Stack) -> Iterator[None]:
    lock = stack.command_lock
    if not lock.acquire():
        _say("waiting for another command on this stack to end")
        lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def _follow(stack: Stack, *, cycle: int, seen: Mapping[str, ProcessState]) -> bool:
    """Print progress until that cycle is ready or has failed; return whether it is ready."""
    started_at_s = time.monotonic()
    while time.monotonic() - started_at_s < UP_TIMEOUT_S:
        state = stack.state()
        if state is not None and state.cycle >= cycle:
            elapsed_s = time.monotonic() - started_at_s
            for line in display.progress(before=seen, now=state.processes, elapsed_s=elapsed_s):
                _say(line)
            seen = state.processes
            if state.phase is Phase.READY:
                _tell_refusals(stack, state)
                return True
            if state.phase is Phase.FAILED:
                _tell_failure(stack)
                return False
        if not stack.is_running():
            _complain(*tail(log=stack.launcher_log, lines=20), "the launcher is gone")
            return False
        time.sleep(0.1)
    _complain(f"not ready within {UP_TIMEOUT_S:.0f} s: see `make status` and `make logs`")
    return False


def _tell_refusals(stack: Stack, state: StackState) -> None:
    for each in state.processes.values():
        if each.phase is ProcessPhase.REFUSED:
            log = stack.settings.log_dir / f"{each.name}.log"
            _say(f"{each.name} changed nothing: {' '.join(tail(log=log, lines=1))}")
            _say("the data stays as it is; `make reset` goes back to the development seed")


def _tell_failure(stack: Stack) -> None:
    state = stack.state()
    if state is None:
        return
    if state.failed_process is not None:
        log = stack.settings.log_dir / f"{state.failed_process}.log"
        last = tail(log=log, lines=20)
        if last:
            _complain(f"last lines of {shown(path=log)}:", *(f"  {line}" for line in last))
    _await_end(stack)
    _complain(state.failure or "the stack failed", "everything that was started is stopped again")


def _await_end(stack: Stack) -> None:
    if not wait_until(
        condition=lambda: not stack.is_running(), timeout_s=DOWN_TIMEOUT_S, pause_s=0.05
    ):
        raise StackError(f"the launcher did not end within {DOWN_TIMEOUT_S:.0f} s")
    _end_leftovers(stack)


def _end_leftovers(stack: Stack) -> int:
    """End what a killed launcher left behind, newest first; return how many there were."""
    state = stack.state()
    leftovers = [] if state is None else state.leftovers
    for each in leftovers:
        stop_leftover(leftover=each, budget_s=STOP_BUDGET_S)
    return len(leftovers)


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)

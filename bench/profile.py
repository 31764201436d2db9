"""`make profile`: where a running service spends its CPU time, while the reserve load runs.

The service is looked at from outside (py-spy) and is not restarted. Only what is on a CPU
counts; waiting does not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import facts, flame, probe
from bench.cpu import CpuClocks, used
from bench.progress import Screen
from bench.stack import Stack, StackMissing, find
from bench.table import Cell, render
from bench.workload import WorkloadError
from deploy.local.settings import SERVICES, SettingsError

RATE_HZ = 200
WARM_UP_S = 2.0
# The profiler attaches after the load has started and is gone before it ends.
MARGIN_S = 1.5
STOP_TIMEOUT_S = 30
ROWS_OWN, ROWS_CUMULATIVE = 30, 60
EXIT_UNABLE, INTERRUPTED = 2, 130
OURS = ("services/", "libs/")

NOTE = "samples: {:.0%} of the time (more than the CPU's share: it waited for a core)"
NOT_ALLOWED = """\
the system does not let py-spy look into process {pid} (ptrace). One of these helps:
  - run the command as root or as the user that runs the stack, with kernel.yama.ptrace_scope=0
    (`sudo sysctl kernel.yama.ptrace_scope=0`; 1 allows only children to be looked at)
  - in a container: start it with `--cap-add SYS_PTRACE`
  - on macOS: run it with sudo"""


class ProfileError(Exception):
    """No profile could be taken; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where CPU time went; *per_request_us* is None when there was no load of our own."""

    service: str
    seconds: float
    cpu_share: float
    sampled_share: float
    per_request_us: float | None
    requests_per_s: float | None
    shares: list[flame.Share]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--service", choices=SERVICES, default="gateway")
    parser.add_argument("--seconds", type=int, default=20, help="how long (default 20)")
    parser.add_argument("--clients", type=int, default=32, help="connections that reserve (32)")
    parser.add_argument("--no-load", action="store_true", help="start no load: somebody else does")
    parser.add_argument("--native", action="store_true", help="show C functions, too (slower)")
    return parser.parse_args()


async def profile(*, given: argparse.Namespace, screen: Screen) -> None:
    """Record, write the files, show the largest; raises ProfileError, StackMissing."""
    stack = await find()
    pid = stack.pids.get(given.service)
    if pid is None:
        raise ProfileError(f"{given.service} does not run here")
    at = datetime.now(UTC)
    facts.RESULTS.mkdir(exist_ok=True)
    path = facts.RESULTS / f"{at:%Y%m%dT%H%M%SZ}-profile-{given.service}"
    raw = path.with_suffix(".collapsed")
    if given.no_load:
        figures = await _alone(stack, pid, given, raw, screen)
    else:
        figures = await _loaded(stack, pid, given, raw, screen)
    text = report(figures)
    path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    title = f"{given.service}: {headline(figures)}"
    stacks = flame.running(flame.parse(raw.read_text(encoding="utf-8")))
    picture = flame.svg(stacks, title=title, ours=OURS)
    path.with_suffix(".svg").write_text(picture, encoding="utf-8")
    screen.line(text)
    for suffix in (".svg", ".txt", ".collapsed"):
        screen.line(f"✓ {facts.shown(path.with_suffix(suffix))}")


async def _alone(
    stack: Stack, pid: int, given: argparse.Namespace, raw: Path, screen: Screen
) -> Profile:
    clocks = CpuClocks(stack.pids)
    before = clocks.read()
    screen.progress(f"{given.service} is recorded for {given.seconds} s")
    await record(pid=pid, seconds=given.seconds, native=given.native, raw=raw)
    busy_s = used(before=before, after=clocks.read()).get(given.service, 0.0)
    return _profile(given, raw, cpu_share=busy_s / given.seconds)


async def _loaded(
    stack: Stack, pid: int, given: argparse.Namespace, raw: Path, screen: Screen
) -> Profile:
    await probe.prepare(stack=stack)

    async def later() -> None:
        await asyncio.sleep(WARM_UP_S + MARGIN_S)
        await record(pid=pid, seconds=given.seconds, native=given.native, raw=raw)

    async with asyncio.TaskGroup() as group:
        group.create_task(later(), name="profiler")
        step = await probe.reserve(
            stack=stack,
            clients=given.clients,
            warm_up_s=WARM_UP_S,
            seconds=given.seconds + 2 * MARGIN_S,
            progress=screen.progress,
        )
    busy_s = step.cpu_s.get(given.service, 0.0)
    return _profile(
        given,
        raw,
        cpu_share=busy_s / step.window_s,
        per_request_us=busy_s / max(1, step.answers_in_window) * 1e6,
        requests_per_s=step.per_s,
    )


def _profile(
    given: argparse.Namespace,
    raw: Path,
    *,
    cpu_share: float,
    per_request_us: float | None = None,
    requests_per_s: float | None = None,
) -> Profile:
    stacks = flame.running(flame.parse(raw.read_text(encoding="utf-8")))
    if not stacks:
        raise ProfileError(f"{given.service} used no CPU in {given.seconds} s: nothing to show")
    return Profile(
        service=given.service,
        seconds=given.seconds,
        cpu_share=cpu_share,
        sampled_share=sum(stacks.values()) / (given.seconds * RATE_HZ),
        per_request_us=per_request_us,
        requests_per_s=requests_per_s,
        shares=flame.shares(stacks),
    )


async def record(*, pid: int, seconds: int, native: bool, raw: Path) -> None:
    """Sample a process and its children into *raw* as collapsed stacks; raises ProfileError."""
    options: Mapping[str, str] = {
        "--pid": str(pid),
        "--duration": str(seconds),
        "--rate": str(RATE_HZ),
        "--format": "raw",
        "--output": str(raw),
    }
    program = Path(sys.prefix) / "bin" / "py-spy"
    switches = ("--function", "--threads", "--subprocesses", *(("--native",) if native else ()))
    words = [word for pair in options.items() for word in pair]
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(program), "record", *words, *switches),
            env={**os.environ, "RUST_LOG": "off"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise ProfileError("py-spy is not installed here: `make install`") from error
    try:
        async with asyncio.timeout(seconds + STOP_TIMEOUT_S):
            out, _ = await process.communicate()
    except TimeoutError as error:
        raise ProfileError(f"py-spy did not end {STOP_TIMEOUT_S} s after its time") from error
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise ProfileError(explain(out.decode(errors="replace"), pid=pid))


def explain(words: str, *, pid: int) -> str:
    """Return what a failure of the profiler means for its user."""
    if "ermission denied" in words or "not permitted" in words or "try running again" in words:
        return NOT_ALLOWED.format(pid=pid)
    return f"py-spy failed: {words.strip()[-600:]}"


def headline(figures: Profile) -> str:
    """Return the frame of the figures in one line."""
    load = ""
    if figures.per_request_us is not None and figures.requests_per_s is not None:
        load = f", {figures.requests_per_s:,.0f} reserves/s, {figures.per_request_us:.0f} us each"
    return f"{figures.seconds:g} s at {RATE_HZ} Hz, {figures.cpu_share:.0%} of a core{load}"


def report(figures: Profile) -> str:
    """Return the tables: largest own shares, then largest cumulative ones."""
    by_cumulative = sorted(figures.shares, key=lambda each: -each.cumulative)
    return "\n".join(
        (
            f"{figures.service}: {headline(figures)}",
            NOTE.format(figures.sampled_share),
            "",
            "By own time:",
            _table(figures.shares[:ROWS_OWN], per_request_us=figures.per_request_us),
            "",
            "By time with everything it calls:",
            _table(by_cumulative[:ROWS_CUMULATIVE], per_request_us=figures.per_request_us),
            "",
        )
    )


def _table(rows: list[flame.Share], *, per_request_us: float | None) -> str:
    cells: list[list[Cell]] = []
    for each in rows:
        row: list[Cell] = [100 * each.own, 100 * each.cumulative]
        if per_request_us is not None:
            row += [each.own * per_request_us, each.cumulative * per_request_us]
        cells.append([*row, each.function])
    us = ("own us", "cum. us") if per_request_us is not None else ()
    return render(header=("own %", "cum. %", *us, "function"), rows=cells)


def main() -> int:
    """Take a profile; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    code = 0
    try:
        asyncio.run(profile(given=given, screen=screen))
    except* (ProfileError, StackMissing, WorkloadError, SettingsError) as group:
        for error in group.exceptions:
            screen.line(f"✗ {error}")
        code = EXIT_UNABLE
    except* KeyboardInterrupt:
        code = INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())

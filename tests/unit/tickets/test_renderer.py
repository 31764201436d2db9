"""The renderer: images from worker processes, in order, within limits, whatever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from libs.tickets.qr import data_uri
from libs.tickets.renderer import CHUNK_IMAGES, PENDING_IMAGES_MAX, QrRenderer

CHUNKS = 4
TOKENS = [f"TOKEN{number}" for number in range(CHUNKS * CHUNK_IMAGES - 5)]
TURNS = PENDING_IMAGES_MAX // CHUNK_IMAGES
LIMIT_S = 30.0


@pytest.fixture
async def renderer() -> AsyncIterator[QrRenderer]:
    """A renderer with one worker."""
    made = QrRenderer(processes=1, timeout_s=LIMIT_S)
    yield made
    await made.close()


def worker_of(renderer: QrRenderer) -> int:
    """Return the process id of the only worker."""
    assert renderer._pool is not None
    [worker] = renderer._pool._processes
    return worker


def running(pid: int) -> bool:
    """Say whether a process is there and has not ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    async with asyncio.timeout(LIMIT_S):
        while running(pid):  # noqa: ASYNC110  # not our child: there is no event to wait for
            await asyncio.sleep(0.01)


async def test_images_come_in_the_order_of_their_tokens(renderer: QrRenderer) -> None:
    """Several chunks, and repeats among them, come back in order."""
    tokens = [*TOKENS, TOKENS[0]]
    assert [data_uri(token) for token in tokens] == await renderer.render(tokens)


async def test_nothing_is_rendered_for_nothing(renderer: QrRenderer) -> None:
    """An empty list starts no worker."""
    assert [] == await renderer.render([])
    assert renderer._pool is None


async def test_a_known_image_needs_no_worker(renderer: QrRenderer) -> None:
    """What was rendered once is taken from memory, as long as it is kept."""
    first = await renderer.render(TOKENS)
    await renderer.close()
    assert first == await renderer.render(TOKENS)


async def test_memory_keeps_the_newest_images_only() -> None:
    """The cache never holds more than its stated maximum, least recently used first out."""
    renderer = QrRenderer(processes=1, cache_max=3, timeout_s=LIMIT_S)
    await renderer.render(["A", "B", "C"])
    await renderer.render(["A"])
    await renderer.render(["D"])
    await renderer.close()
    assert ["C", "A", "D"] == list(renderer._cache)


async def test_many_callers_wait_for_their_turn() -> None:
    """With room for one chunk at a time, every caller still gets its images."""
    renderer = QrRenderer(processes=1, pending_max=CHUNK_IMAGES, timeout_s=LIMIT_S)
    async with asyncio.TaskGroup() as group:
        renderings = [
            group.create_task(renderer.render([f"{caller}-{token}" for token in TOKENS]))
            for caller in "ABC"
        ]
    await renderer.close()
    for caller, rendering in zip("ABC", renderings, strict=True):
        assert [data_uri(f"{caller}-{token}") for token in TOKENS] == rendering.result()


async def test_a_bad_token_fails_alone(renderer: QrRenderer) -> None:
    """A token that cannot be drawn is an error of its call, and the next call works."""
    with pytest.raises(ValueError, match="alphanumeric"):
        await renderer.render(["GOOD", "bad"])
    assert [data_uri("GOOD")] == await renderer.render(["GOOD"])


async def test_a_worker_that_died_between_calls_is_replaced(renderer: QrRenderer) -> None:
    """The call after a worker's death gets its images from a new worker."""
    await renderer.render(["FIRST"])
    worker = worker_of(renderer)
    os.kill(worker, signal.SIGKILL)
    await gone(worker)
    assert [data_uri("SECOND")] == await renderer.render(["SECOND"])
    assert worker != worker_of(renderer)


async def test_a_worker_that_dies_at_work_is_replaced(renderer: QrRenderer) -> None:
    """The chunks that a dying worker took with it are rendered once more."""
    await renderer.render(["FIRST"])
    worker = worker_of(renderer)
    os.kill(worker, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        rendering = group.create_task(renderer.render(TOKENS))
        async with asyncio.timeout(LIMIT_S):
            while renderer._turns._value > TURNS - CHUNKS:  # noqa: ASYNC110  # all handed over
                await asyncio.sleep(0)
        os.kill(worker, signal.SIGKILL)
    assert [data_uri(token) for token in TOKENS] == rendering.result()


async def test_a_renderer_that_cannot_keep_up_says_so() -> None:
    """A rendering that takes longer than its limit ends with TimeoutError and gives its turns
    back."""
    renderer = QrRenderer(processes=1, timeout_s=LIMIT_S)
    await renderer.render(["FIRST"])
    worker = worker_of(renderer)
    os.kill(worker, signal.SIGSTOP)
    renderer._timeout_s = 0.05
    with pytest.raises(TimeoutError):
        await renderer.render(TOKENS)
    renderer._timeout_s = LIMIT_S
    os.kill(worker, signal.SIGCONT)
    assert [data_uri(token) for token in TOKENS] == await renderer.render(TOKENS)
    await renderer.close()
    assert renderer._turns._value == TURNS


async def test_a_closed_renderer_renders_nothing(renderer: QrRenderer) -> None:
    """After close no worker is started any more."""
    await renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        await renderer.render(["A"])


async def test_closing_ends_the_workers(renderer: QrRenderer) -> None:
    """No worker is left behind, and closing twice is fine."""
    await renderer.render(["A"])
    worker = worker_of(renderer)
    await renderer.close()
    await renderer.close()
    await gone(worker)


async def test_workers_leave_interrupts_to_the_service(renderer: QrRenderer) -> None:
    """Ctrl-C reaches the whole process group; a worker goes on so that answers are finished."""
    await renderer.render(["A"])
    worker = worker_of(renderer)
    os.kill(worker, signal.SIGINT)
    assert [data_uri("B")] == await renderer.render(["B"])
    assert worker == worker_of(renderer)


async def test_workers_end_with_a_killed_service(tmp_path: Path) -> None:
    """After SIGKILL of the service, no worker stays behind."""
    program = tmp_path / "service.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from libs.tickets.renderer import QrRenderer

            async def main():
                renderer = QrRenderer(processes=2, timeout_s=30.0)
                await renderer.render(["A"])
                print(*renderer._pool._processes, flush=True)
                sys.stdin.read()

            if __name__ == "__main__":
                asyncio.run(main())
            """
        ),
        encoding="utf-8",
    )
    root = Path(__file__).parents[3]
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert service.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        workers = [int(pid) for pid in (await service.stdout.readline()).split()]
        assert len(workers) == 2
        service.kill()
        await service.communicate()
    for worker in workers:
        await gone(worker)

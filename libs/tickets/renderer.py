"""Renders QR images in worker processes, so that the event loop never waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection

from libs.tickets.qr import data_uri

CHUNK_IMAGES = 25
"""Images per job: handing one over costs as much as an image, and 100 should use all workers."""

PENDING_IMAGES_MAX = 1000
CACHE_IMAGES_MAX = 4096
"""About 1 KB each."""

TIMEOUT_S = 5.0
START_TIMEOUT_S = 60.0
"""Starting imports the program in a new process: seconds on a busy machine."""


class QrRenderer:
    """Turns tokens into data URIs in *processes* worker processes.

    Workers start with the first rendering and end with this process, however it ends. At
    most *pending_max* images are in work at a time; further calls wait their turn. The
    newest *cache_max* images are kept. One event loop owns a renderer.
    """

    def __init__(
        self,
        *,
        processes: int,
        pending_max: int = PENDING_IMAGES_MAX,
        cache_max: int = CACHE_IMAGES_MAX,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._processes = processes
        self._cache_max = cache_max
        self._timeout_s = timeout_s
        self._cache: OrderedDict[str, str] = OrderedDict()
        self._turns = asyncio.Semaphore(max(1, pending_max // CHUNK_IMAGES))
        self._starting = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._start: asyncio.Future[ProcessPoolExecutor] | None = None
        self._closed = False
        self.jobs = 0

    async def render(self, tokens: Sequence[str]) -> list[str]:
        """Return the data URI of each token, in the order given.

        Raises ValueError for a token that no QR code of ours can hold, TimeoutError when
        the images are not ready within *timeout_s*, BrokenProcessPool when workers die
        again and again, RuntimeError after `close`.
        """
        found: dict[str, str] = {}
        missing: list[str] = []
        for token in dict.fromkeys(tokens):
            image = self._cache.get(token)
            if image is None:
                missing.append(token)
            else:
                self._cache.move_to_end(token)
                found[token] = image
        if missing:
            async with asyncio.timeout(self._timeout_s):
                images = await self._render_missing(missing)
            for token, image in zip(missing, images, strict=True):
                found[token] = self._cache[token] = image
            while len(self._cache) > self._cache_max:
                self._cache.popitem(last=False)
        return [found[token] for token in tokens]

    async def close(self) -> None:
        """End the workers; renderings under way fail."""
        self._closed = True
        async with self._starting:
            pool, self._pool = self._pool, None
            if self._start is not None:
                with contextlib.suppress(Exception):  # it did not start: nothing is left to end
                    pool = await self._start
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    async def _render_missing(self, tokens: list[str]) -> list[str]:
        jobs: list[tuple[list[str], asyncio.Future[list[str]]]] = []
        images: list[str] = []
        try:
            for start in range(0, len(tokens), CHUNK_IMAGES):
                chunk = tokens[start : start + CHUNK_IMAGES]
                jobs.append((chunk, await self._submit(chunk)))
            for chunk, job in jobs:
                try:
                    images += await job
                except BrokenProcessPool:
                    images += await (await self._submit(chunk))
        finally:
            for _, job in jobs:
                if not job.cancel() and not job.cancelled():
                    job.exception()  # seen, so that asyncio does not report it as lost
        return images

    async def _submit(self, chunk: list[str]) -> asyncio.Future[list[str]]:
        """Hand a chunk to the workers when it is its turn."""
        await self._turns.acquire()
        self.jobs += 1
        try:
            pool = await self._running_pool()
            try:
                job = asyncio.wrap_future(pool.submit(_render_chunk, chunk))
            except BrokenProcessPool:
                # A worker died since the last job; no job of ours was lost with it.
                self._discard(pool)
                pool = await self._running_pool()
                job = asyncio.wrap_future(pool.submit(_render_chunk, chunk))
        except BaseException:
            self.jobs -= 1
            self._turns.release()
            raise
        job.add_done_callback(lambda _: self._finished(pool, job))
        return job

    def _finished(self, pool: ProcessPoolExecutor, job: asyncio.Future[list[str]]) -> None:
        self.jobs -= 1
        self._turns.release()
        if not job.cancelled() and isinstance(job.exception(), BrokenProcessPool):
            self._discard(pool)

    def _discard(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None
            pool.shutdown(wait=False, cancel_futures=True)

    async def _running_pool(self) -> ProcessPoolExecutor:
        async with self._starting:
            if self._closed:
                raise RuntimeError("the renderer is closed")
            if self._pool is None:
                if self._start is None or (self._start.done() and self._start.exception()):
                    run = asyncio.get_running_loop().run_in_executor
                    self._start = run(None, _start_pool, self._processes)
                # Who gives up leaves the start to the next: on a busy machine it takes a while.
                started, self._start = await asyncio.shield(self._start), None
                self._pool = started
            return self._pool


def _start_pool(processes: int) -> ProcessPoolExecutor:
    # A fork of this process would copy its threads' locks; the fork server has no threads,
    # and imports the program once for all workers.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "libs.tickets.qr"])
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    try:
        for job in [pool.submit(os.getpid) for _ in range(processes)]:
            job.result(timeout=START_TIMEOUT_S)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return pool


def _start_worker() -> None:
    """Leave Ctrl-C to the service, and end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()


def _end_with_parent() -> None:
    # Workers hold both ends of the job queue: they do not see that a killed parent is gone.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)


def _render_chunk(tokens: list[str]) -> list[str]:
    return [data_uri(token) for token in tokens]

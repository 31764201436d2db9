"""One process of a deciding service: the real loop on ports that can fail, stop and die.

A process owns at most one partition here; what it does between two ports is what the
product's code does. A fate is one fault that the schedule has in store for its next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from libs.events.behaviour import Behaviour
from libs.events.memory.broker import MemoryBroker, MemoryGapReader
from libs.events.memory.log import MemoryDatabase
from libs.events.ports import (
    Head,
    InputPosition,
    Outgoing,
    Write,
)
from libs.events.writer import PartitionLoop, Watch
from libs.runtime.clock import DatabaseClock
from simulation.ports import OwnedLog, SimulatedFeed, SimulatedLog, SimulatedPublisher
from simulation.scheduler import Scheduler

RESTART_S = 1.0
FAILED_RUN_WAIT_S = 0.1
CLOCK_SAMPLE_S = 1.0
UNLIMITED = 1 << 30

STEPS = ("decided", "written", "published")
FATES = (
    *(f"die at {step}" for step in STEPS),
    "die before send",
    "die in send",
    "not sent",
    "sent in part",
    "unacknowledged",
    "sent twice",
    "write not applied",
    "write unanswered",
    "stop before write",
    "stop after write",
    "stop before send",
)


class Died(BaseException):
    """The process is gone: nothing that it still does may have an effect."""


class Observer(Protocol):
    """Who watches all processes: the checks, and the counters."""

    def count(self, name: str, by: int = 1) -> None:
        """Count something that a run should meet sometimes."""
        ...

    def owned(self, process: Process, head: Head) -> None:
        """Learn that a process owns its partition."""
        ...

    def opened(self, process: Process, inputs: Mapping[str, InputPosition]) -> None:
        """Learn where a process goes on to read."""
        ...

    def written(self, process: Process, write: Write, before: Head) -> None:
        """Learn what was written, and the head that was there before."""
        ...

    def publishing(self, process: Process, records: Sequence[Outgoing]) -> None:
        """Learn that a process sends records."""
        ...

    def failed(self, process: Process, error: BaseException) -> None:
        """Learn that a run has ended by an error."""
        ...


class Process:
    """A process, from its start to its death; *start* begins the next life."""

    def __init__(
        self,
        *,
        service: str,
        partition: int,
        slot: str,
        scheduler: Scheduler,
        database: MemoryDatabase,
        broker: MemoryBroker,
        gaps: MemoryGapReader,
        behaviour: Callable[[Process], Behaviour],
        watch: Watch,
        observer: Observer,
    ) -> None:
        self.service, self.partition, self.slot = service, partition, slot
        self.scheduler = scheduler
        self.database = database
        self.broker = broker
        self.gaps = gaps
        self.watch = watch
        self.observer = observer
        self.alive = False
        self.fate: str | None = None
        self.parts = 0
        self.behaviour: Behaviour
        self.clock: DatabaseClock
        self.feed: SimulatedFeed | None = None
        self.free = False
        self.asked = asyncio.Event()
        self._make_behaviour = behaviour
        self._resumed: asyncio.Future[None] | None = None
        self._life = 0
        self._task: asyncio.Task[None] | None = None
        self._clock_task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Which process this is."""
        return f"{self.service}-{self.partition}{self.slot}"

    @property
    def owner(self) -> bool:
        """Whether the database regards this process as the owner."""
        log = self.database.owners.get(self.partition)
        return isinstance(log, OwnedLog) and log.process is self

    @property
    def stopped(self) -> bool:
        """Whether the process is paused."""
        return self._resumed is not None

    def start(self) -> None:
        """Begin a life: nothing is remembered."""
        if self.alive:
            return
        self.alive = True
        self.fate = None
        self._life += 1
        self.behaviour = self._make_behaviour(self)
        self.clock = DatabaseClock(monotonic=self.scheduler.time)
        self._sample_clock()
        self._task = self.scheduler.create_task(self._keep_running(), name=self.name)
        self._clock_task = self.scheduler.create_task(self._keep_clock())

    def kill(self) -> None:
        """End this life at once; the launcher starts the next one."""
        if not self.alive:
            return
        self.alive = False
        self.fate = None
        self.release()
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)
        for task in (self._task, self._clock_task):
            if task is not None:
                task.cancel()
        self.scheduler.call_later(RESTART_S, self.start)

    def release(self) -> None:
        """Lose the partition, as when the connection to the database breaks."""
        if self.owner:
            del self.database.owners[self.partition]
            self.database.released.set()

    def ask(self) -> None:
        """Have the partition given up as at a hand-over."""
        self.asked.set()

    def stop(self) -> None:
        """Pause (SIGSTOP)."""
        if self.alive and self._resumed is None:
            self._resumed = self.scheduler.create_future()

    def wake(self) -> None:
        """Go on (SIGCONT)."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    async def pass_port(self) -> None:
        """Come by here before every effect: the dead don't pass, the stopped wait."""
        while self.alive and self._resumed is not None:
            await self._resumed
        if not self.alive:
            raise Died(self.name)

    def meets(self, fate: str) -> bool:
        """Say whether this fate was in store; it is used up then."""
        if self.fate != fate:
            return False
        self.fate = None
        self.observer.count(f"fate: {fate}")
        return True

    def die(self) -> None:
        """Die in the middle of a call."""
        self.kill()
        raise Died(self.name)

    def step(self, name: str) -> None:
        """Pass a named step of the loop."""
        if not self.alive:
            raise Died(self.name)
        if self.meets(f"die at {name.rsplit('.', 1)[-1]}"):
            self.die()

    async def _keep_running(self) -> None:
        while self.alive:
            self.asked = asyncio.Event()
            feed = self.feed = SimulatedFeed(self)
            loop = PartitionLoop(
                partition=self.partition,
                behaviour=self.behaviour,
                log=SimulatedLog(self),
                feed=feed,
                publisher=SimulatedPublisher(self),
                gaps=self.gaps,
                clock=self.clock,
                watch=self.watch,
                step=self.step,
                monotonic=self.scheduler.time,
                owned=lambda: None,
            )
            try:
                await loop.run()
            except Died:
                return
            except asyncio.CancelledError:
                if not self.alive:
                    return
                raise
            except (Exception, BaseExceptionGroup) as error:
                if not self.alive:
                    return
                self.release()
                self.observer.failed(self, error)
            await asyncio.sleep(FAILED_RUN_WAIT_S)

    async def _keep_clock(self) -> None:
        life = self._life
        while self.alive and self._life == life:
            await asyncio.sleep(CLOCK_SAMPLE_S)
            if self._resumed is None:
                self._sample_clock()

    def _sample_clock(self) -> None:
        now = self.scheduler.time()
        jumped = self.clock.observe(
            database_time=self.database.clock(), sent_monotonic=now, received_monotonic=now
        )
        if jumped:
            self.observer.count("clock pauses expiry")

"""Several processes' memberships in one test process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from libs.events.postgres.instances import Instances
from libs.runtime.supervise import keep_running

log = structlog.get_logger()


@dataclass(slots=True)
class Processes:
    """Instances of inventory that live as long as the context of `running_processes`."""

    dsn: str
    partitions: int
    group: asyncio.TaskGroup
    made: list[Instances] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _logs: Counter[int] = field(default_factory=Counter)

    def number(self, number: int) -> Instances:
        """Return the instance of that number; it and those before it begin to live."""
        while len(self.made) <= number:
            instances = Instances(
                dsn=self.dsn,
                source="inventory",
                owner=f"process-{len(self.made)}",
                partitions=self.partitions,
            )
            self.made.append(instances)
            staying = keep_running("instances", instances.run, stop=asyncio.Event(), log=log)
            self.tasks.append(self.group.create_task(staying))
        return self.made[number]

    def next_for(self, partition: int) -> Instances:
        """Return another process each time that a partition is named."""
        self._logs[partition] += 1
        return self.number(self._logs[partition] - 1)


@asynccontextmanager
async def running_processes(*, dsn: str, partitions: int) -> AsyncIterator[Processes]:
    """Give processes of a service whose database has *dsn*."""
    async with asyncio.TaskGroup() as group:
        processes = Processes(dsn=dsn, partitions=partitions, group=group)
        yield processes
        for task in processes.tasks:
            task.cancel()

"""State of one partition: committed entities, and a stage above them.

A batch is decided against the stage; only after the write has committed does the
stage become the state (design, rule 1). Entities are frozen values with a key, so
undoing a batch is forgetting the stage. What is staged is also exactly what has to
be written to the entity tables: they are the snapshot (ADR 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast


class Entity(Protocol):
    """A frozen value with an identity."""

    @property
    def key(self) -> str:
        """The identity within its kind."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it stays in memory after the write; closed things do not."""
        ...


E = TypeVar("E", bound=Entity)


@dataclass(frozen=True, slots=True)
class Change:
    """A staged entity; *new* says that it was not known before this batch."""

    entity: Entity
    new: bool


class State:
    """The entities of one partition."""

    def __init__(self, *, partition: int) -> None:
        self.partition = partition
        self._committed: dict[tuple[type[Entity], str], Entity] = {}
        self._loaded: dict[tuple[type[Entity], str], Entity] = {}
        self._staged: dict[tuple[type[Entity], str], Change] = {}

    def get(self, kind: type[E], key: str) -> E | None:
        """Return the entity as of now, staged changes included; None if it is not in memory."""
        at = (cast(type[Entity], kind), key)
        change = self._staged.get(at)
        if change is not None:
            return cast(E, change.entity)
        found = self._committed.get(at)
        if found is None:
            found = self._loaded.get(at)
        return cast("E | None", found)

    def all(self, kind: type[E]) -> Iterator[E]:
        """Yield every committed entity of a kind."""
        return (cast(E, e) for (k, _), e in self._committed.items() if k is kind)

    def put(self, entity: Entity) -> None:
        """Stage a new or changed entity."""
        at = (type(entity), entity.key)
        before = self._staged.get(at)
        if before is not None:
            new = before.new
        else:
            new = at not in self._committed and at not in self._loaded
        self._staged[at] = Change(entity, new)

    def load(self, entity: Entity) -> None:
        """Bring a stored entity in for the current batch, or for good if it is kept."""
        at = (type(entity), entity.key)
        (self._committed if entity.kept else self._loaded)[at] = entity

    def staged(self) -> list[Change]:
        """Return what this batch has changed, in order of first change."""
        return list(self._staged.values())

    def commit(self) -> None:
        """Make the stage the state; entities that are not kept leave memory."""
        for at, change in self._staged.items():
            if change.entity.kept:
                self._committed[at] = change.entity
            else:
                self._committed.pop(at, None)
        self._staged.clear()
        self._loaded.clear()

    def release(self) -> None:
        """Forget the stage and what was loaded for the last batch only."""
        self._staged.clear()
        self._loaded.clear()

    def rollback(self) -> None:
        """Forget the stage; what was loaded for the batch stays for its next try."""
        self._staged.clear()

    def __len__(self) -> int:
        return len(self._committed)

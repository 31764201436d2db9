"""State of one partition: committed entities, and a stage above them.

A batch is decided against the stage; only after the write has committed does the
stage become the state (design, rule 1). Entities are frozen values with a key, so
undoing a batch is forgetting the stage. What is staged is also exactly what has to
be written to the entity tables: they are the snapshot (ADR 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar, cast

from libs.kernel.values import dataclass


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
_Entities = dict[object, dict[str, Entity]]  # by class


@dataclass(frozen=True, slots=True)
class Change:
    """A staged entity; *new* says that it was not known before this batch."""

    entity: Entity
    new: bool


class State:
    """The entities of one partition; what is looked up costs the same however many there are."""

    def __init__(self, *, partition: int) -> None:
        self.partition = partition
        self._committed: _Entities = {}
        self._loaded: _Entities = {}
        self._staged: dict[tuple[object, str], Change] = {}

    def get(self, kind: type[E], key: str) -> E | None:
        """Return the entity as of now, staged changes included; None if it is not in memory."""
        change = self._staged.get((kind, key))
        entity = change.entity if change is not None else self._known(kind, key)
        return cast("E | None", entity)

    def _known(self, kind: object, key: str) -> Entity | None:
        for known in (self._committed, self._loaded):
            of_kind = known.get(kind)
            if of_kind is not None and (found := of_kind.get(key)) is not None:
                return found
        return None

    def all(self, kind: type[E]) -> Iterable[E]:
        """Return every committed entity of a kind."""
        return cast(Iterable[E], self._committed.get(kind, {}).values())

    def count(self, kind: type[E]) -> int:
        """Return how many committed entities of a kind there are."""
        return len(self._committed.get(kind, {}))

    def put(self, entity: Entity) -> None:
        """Stage a new or changed entity."""
        kind, key = type(entity), entity.key
        before = self._staged.get((kind, key))
        new = before.new if before is not None else self._known(kind, key) is None
        self._staged[kind, key] = Change(entity, new)

    def load(self, entity: Entity) -> None:
        """Bring a stored entity in for the current batch, or for good if it is kept."""
        into = self._committed if entity.kept else self._loaded
        into.setdefault(type(entity), {})[entity.key] = entity

    def staged(self) -> list[Change]:
        """Return what this batch has changed, in order of first change."""
        return list(self._staged.values())

    def commit(self) -> None:
        """Make the stage the state; entities that are not kept leave memory."""
        for (kind, key), change in self._staged.items():
            if change.entity.kept:
                self._committed.setdefault(kind, {})[key] = change.entity
            else:
                self._committed.get(kind, {}).pop(key, None)
        self.release()

    def release(self) -> None:
        """Forget the stage and what was loaded for the last batch only."""
        self._staged.clear()
        self._loaded.clear()

    def rollback(self) -> None:
        """Forget the stage; what was loaded for the batch stays for its next try."""
        self._staged.clear()

"""Which instance is to have which partition; pure: all instances come to the same result."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def spread(holding: Mapping[str, Collection[int]], *, partitions: int) -> dict[int, str]:
    """Return for each partition who is to have it, given what every live instance holds.

    The shares differ by one at most, and nothing moves that need not. Empty if nobody lives.
    """
    if not holding:
        return {}
    # Who holds most gets the shares that are one larger: fewer partitions move.
    names = sorted(holding, key=lambda name: (-len(holding[name]), name))
    least, larger = divmod(partitions, len(names))
    wanted: dict[int, str] = {}
    room: list[str] = []
    for rank, name in enumerate(names):
        share = least + (rank < larger)
        kept = [each for each in sorted(holding[name]) if each not in wanted and each < partitions]
        wanted.update(dict.fromkeys(kept[:share], name))
        room += [name] * (share - len(kept[:share]))
    free = (partition for partition in range(partitions) if partition not in wanted)
    wanted.update(zip(free, room, strict=True))
    return wanted


def next_in_line(
    wanted: Mapping[int, str], holding: Mapping[str, Collection[int]], *, partitions: int
) -> dict[int, str]:
    """Return for each partition who is to have it once the one that is to have it now is gone."""
    return {
        partition: without[partition]
        for name in holding
        if (
            without := spread(
                {other: held for other, held in holding.items() if other != name},
                partitions=partitions,
            )
        )
        for partition, owner in wanted.items()
        if owner == name
    }

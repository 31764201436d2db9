"""Comparing two sets of rows of any size and order in little memory.

Both sides are summed up as keyed hashes, in buckets by key: equal sums mean equal sets,
for nobody can make rows that cancel out without the key, which is drawn anew each time.
Where a bucket differs, a second pass keeps the rows of that bucket only and names them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

BUCKETS = 4096
_MASK = (1 << 128) - 1
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)

Focus = Mapping[str, frozenset[int]]
"""By set, the buckets whose rows are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key whose rows are not the same on both sides."""

    key: str
    expected: list[Any]
    found: list[Any]

    def told(self) -> str:
        """Say in a line what differs."""
        if not self.found:
            return f"{self.key} is missing"
        if not self.expected:
            return f"{self.key} should not be there"
        if len(self.expected) != len(self.found):
            return f"{self.key} is there {len(self.found)} times, not {len(self.expected)}"
        ours, theirs = self.expected[0], self.found[0]
        fields = [name for name in ours if ours.get(name) != theirs.get(name)]
        pairs = [f"{name} is {theirs.get(name)!r}, not {ours.get(name)!r}" for name in fields]
        return f"{self.key}: " + "; ".join(pair[:200] for pair in pairs[:5])


class RowSets:
    """All comparisons of one pass."""

    def __init__(self, focus: Focus | None = None) -> None:
        self._key = secrets.token_bytes(32)
        self._focus = focus
        self._sums: dict[str, list[int]] = {}
        self._kept: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {}

    def expect(self, name: str, key: str, row: Mapping[str, Any]) -> None:
        """Take in a row that should be there."""
        self._take(name, key, row, 1)

    def find(self, name: str, key: str, row: Mapping[str, Any]) -> None:
        """Take in a row that is there."""
        self._take(name, key, row, -1)

    def _take(self, name: str, key: str, row: Mapping[str, Any], sign: int) -> None:
        bucket = crc32(key.encode()) % BUCKETS
        if self._focus is not None:
            if bucket in self._focus.get(name, ()):
                sides = self._kept.setdefault(name, {}).setdefault(key, ([], []))
                sides[sign < 0].append(row)
            return
        sums = self._sums.get(name)
        if sums is None:
            sums = self._sums[name] = [0] * BUCKETS
        text = _CANONICAL.encode((key, row))
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=16).digest()
        sums[bucket] = (sums[bucket] + sign * int.from_bytes(digest, "big")) & _MASK

    def differing(self) -> Focus:
        """Return the buckets that differ, by set."""
        found = {
            name: frozenset(bucket for bucket, total in enumerate(sums) if total)
            for name, sums in self._sums.items()
        }
        return {name: buckets for name, buckets in found.items() if buckets}

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """Yield what differs in the buckets that were kept, by set."""
        for name, rows in self._kept.items():
            for key, (expected, found) in sorted(rows.items()):
                if _counted(expected) != _counted(found):
                    yield name, Difference(key=key, expected=expected, found=found)


def _counted(rows: list[Any]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)

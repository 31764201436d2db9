"""What a proxy may do to the connections that match, as plain data between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal[
    "latency", "slow", "slicer", "blackhole", "half_open", "reset", "drop_write", "drop_produce"
]
MODES: tuple[Mode, ...] = ("latency", "slow", "slicer", "blackhole", "half_open", "reset")
"""What can be done to any stream of bytes; the others know a protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """*door* is a prefix of a listener's name, *who* of a client's (a database user, a client id).

    - latency: *value* seconds +- half of it; slow: *value* bytes a second; slicer: *value* bytes
    - blackhole: nothing passes; half_open: nothing comes back; reset: connections end
    - drop_write, drop_produce: *value* times the answer to a write is lost with its connection
    """

    mode: Mode
    door: str
    who: str = ""
    value: float = 0.0

    def matches(self, *, door: str, who: str) -> bool:
        """Say whether a connection is meant."""
        return door.startswith(self.door) and who.startswith(self.who)

    def plain(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

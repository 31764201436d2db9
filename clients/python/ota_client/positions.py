"""What earlier answers said about how far the books had come, to be sent back with reads."""

from __future__ import annotations

VALUES_MAX = 8


class Positions:
    """The values of ``OTA-Position`` that no later answer covers, over concurrent calls.

    Values are opaque. An answer's value covers those that its request had sent. With more
    calls at once than are kept, the oldest values are dropped.
    """

    def __init__(self) -> None:
        self._values: dict[str, None] = {}

    def note(self, value: str, *, sent: str) -> None:
        """Take in an answer's header, and what its request had *sent*; both may be empty."""
        if not value:
            return
        self.forget(sent)
        self._values.pop(value, None)
        self._values[value] = None
        while len(self._values) > VALUES_MAX:
            del self._values[next(iter(self._values))]

    def forget(self, sent: str) -> None:
        """Send these no more."""
        for value in sent.split(","):
            self._values.pop(value, None)

    @property
    def header(self) -> str:
        """The header to send, empty for none."""
        return ",".join(self._values)

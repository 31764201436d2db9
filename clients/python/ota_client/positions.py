"""What earlier answers said about how far the books had come, to be sent back with reads."""

from __future__ import annotations

ENTRIES_MAX = 32


class Positions:
    """The newest ``OTA-Position`` of each log, merged over concurrent calls.

    An entry ends in a number that only grows; what stands before it names the log.
    """

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, str]] = {}

    def note(self, header: str) -> None:
        """Take in the header of an answer."""
        for entry in header.split(","):
            text = entry.strip()
            place, _, number = text.rpartition(".")
            if not place or not (number.isascii() and number.isdigit()):
                continue
            known = self._newest.pop(place, (0, text))
            self._newest[place] = max(known, (int(number), text))
        while len(self._newest) > ENTRIES_MAX:
            del self._newest[next(iter(self._newest))]

    @property
    def header(self) -> str:
        """The header to send, empty for none."""
        return ",".join(text for _, text in self._newest.values())

"""Canaries (I24): words that only customers' data hold, looked for in all that was written."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ota_checker.reading import Export
from ota_checker.verdicts import Verdicts

LENGTH_MIN = 12
_START = 6
_CHUNK = 1 << 20
_Pattern = tuple[re.Pattern[str], dict[str, tuple[int, ...]], set[str]]
"""How the words begin, how long those that begin so are, and the words."""
SEARCHED = ("events.", "answers.", "heads.", "table.", "topics.", "anchors", "audit")


def forms(word: str) -> set[str]:
    """Return a word as it may lie somewhere: as text, escaped, or encoded."""
    raw = word.encode()
    found = {word, json.dumps(word)[1:-1], quote(word), raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # Inside a longer text it may begin at any of three places of a group of four.
        encoded = base64.b64encode(b"\0" * shift + raw)[4:-4].decode()
        found |= {encoded, encoded.translate(str.maketrans("+/", "-_"))}
    return found


class Needles:
    """Finds any of many words, in one pass: by how they begin, and then by the whole."""

    def __init__(self, words: list[str]) -> None:
        self.words = frozenset(words)
        self.longest = 0
        self._plain = self._pattern(set(words))
        self._any = self._pattern({form for word in words for form in forms(word)})

    def _pattern(self, needles: set[str]) -> _Pattern | None:
        lengths: dict[str, set[int]] = {}
        for needle in needles:
            if len(needle) >= _START:
                lengths.setdefault(needle[:_START], set()).add(len(needle))
                self.longest = max(self.longest, len(needle))
        if not lengths:
            return None
        pattern = re.compile("|".join(map(re.escape, sorted(lengths))))
        return pattern, {start: tuple(sorted(each)) for start, each in lengths.items()}, needles

    def plain(self, text: str) -> Iterator[str]:
        """Yield the words that stand in a text as they are."""
        return self._found(self._plain, text)

    def encoded(self, text: str) -> Iterator[str]:
        """Yield the words in any of their forms."""
        return self._found(self._any, text)

    def _found(self, needles: _Pattern | None, text: str) -> Iterator[str]:
        if needles is None or not text:
            return
        pattern, lengths, known = needles
        for match in pattern.finditer(text):
            at = match.start()
            for length in lengths[match[0]]:
                if (found := text[at : at + length]) in known:
                    yield found


def check_privacy(*, export: Export, words: Needles, logs: Path | None, verdicts: Verdicts) -> None:
    """Search the export, and the logs if they are there."""
    if not words.words:
        verdicts.lack("I24", "no canaries.json")
        return
    names = [name for start in SEARCHED for name in export.names(start)]
    for name in names:
        for number, line in enumerate(export.text_lines(name), 1):
            for word in words.encoded(line):
                rule = f"a canary ({word[:12]}...) lies in {name} line {number}"
                verdicts.violate("I24", rule)
            if '"value_base64"' in line:
                _check_bytes(line, f"{name} line {number}", words, verdicts)
        verdicts.look("I24")
    folder = logs or export.folder / "logs"
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            _check_file(path, words, verdicts)
            verdicts.look("I24")


def _check_bytes(line: str, where: str, words: Needles, verdicts: Verdicts) -> None:
    raw = base64.b64decode(json.loads(line).get("value_base64") or "")
    for word in words.encoded(raw.decode("utf-8", errors="replace")):
        verdicts.violate("I24", f"a canary ({word[:12]}...) lies in {where}")


def _check_file(path: Path, words: Needles, verdicts: Verdicts) -> None:
    """Read a file of any size in pieces that overlap by the longest word."""
    before = ""
    with path.open(encoding="utf-8", errors="replace") as stream:
        while piece := stream.read(_CHUNK):
            for word in words.encoded(before + piece):
                verdicts.violate("I24", f"a canary ({word[:12]}...) lies in the log {path.name}")
            before = piece[-words.longest :]

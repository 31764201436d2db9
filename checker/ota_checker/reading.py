"""Reads the export format: JSON lines, one file after another, never a whole file at once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, Any]


class Unreadable(Exception):
    """The input is not what the format says; the message names file and line."""


class Export:
    """A folder with an export; any of its files may be gzipped, and any may be missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path | None:
        """Return where a file lies, None if the export has none of that name."""
        for path in (self.folder / name, self.folder / f"{name}.gz"):
            if path.is_file():
                return path
        return None

    def names(self, start: str) -> list[str]:
        """Return the names of all files that begin with *start*, without ``.gz``."""
        found = {path.name.removesuffix(".gz") for path in self.folder.glob(f"{start}*")}
        return sorted(found)

    def text_lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a file as they are; none if it is missing."""
        path = self.path(name)
        if path is None:
            return
        try:
            with _opened(path) as stream:
                yield from stream
        except (EOFError, OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"{name} can't be read to its end: {error}") from error

    def rows(self, name: str) -> Iterator[Row]:
        """Yield the objects of a file; raises Unreadable."""
        read = json.loads
        number = 0
        for number, line in enumerate(self.text_lines(name), 1):
            try:
                row = read(line)
            except ValueError as error:
                raise Unreadable(f"{name} line {number} is no JSON: {error}") from error
            if type(row) is not dict:
                raise Unreadable(f"{name} line {number} is no object")
            yield row

    def document(self, name: str) -> Any:
        """Return a file that is one JSON document, None if it is missing; raises Unreadable."""
        path = self.path(name)
        if path is None:
            return None
        with _opened(path) as stream:
            try:
                return json.load(stream)
            except ValueError as error:
                raise Unreadable(f"{name} is no JSON: {error}") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")

"""The files of an export: a row is a JSON object on a line, any file may be compressed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

Row = dict[str, Any]

DECIDING = ("inventory", "reservation", "fulfillment")
ANCHORS_TOPIC = "ota.platform.anchors.v1"
EVENT_TOPICS = {service: f"ota.{service}.events.v1" for service in DECIDING}


class ExportError(Exception):
    """The folder is no export, or a file in it cannot be read; the message says what to do."""


class ExportFolder:
    """Reads an export."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ExportError(f"{folder} is no folder: `ota-verify export` makes one")
        self.folder = folder
        for service in DECIDING:
            if self.path(f"events.{service}.jsonl") is None:
                raise ExportError(f"{folder} is no export: it has no events.{service}.jsonl")

    def path(self, name: str) -> Path | None:
        """Return where a file is, compressed or not; None if it is not there."""
        for candidate in (self.folder / name, self.folder / f"{name}.gz"):
            if candidate.exists():
                return candidate
        return None

    def document(self, name: str) -> Mapping[str, Any]:
        """Return a file that is one JSON object; empty if it is not there."""
        path = self.path(name)
        if path is None:
            return {}
        try:
            return cast("Mapping[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ExportError(f"{path} cannot be read: {error}") from error

    def rows(self, name: str) -> Iterator[Row]:
        """Yield a file's rows in order, none if it is not there; raises ExportError."""
        path = self.path(name)
        if path is None:
            return
        with opened(path, "rt") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise ExportError(f"{path}, line {number}: {error}") from error
                if not isinstance(row, dict):
                    raise ExportError(f"{path}, line {number}: no object")
                yield row

    def tables(self, service: str) -> list[str]:
        """Return the names of a service's exported tables."""
        prefix = f"table.{service}."
        names = {
            path.name.removeprefix(prefix).removesuffix(".gz").removesuffix(".jsonl")
            for path in self.folder.glob(f"{prefix}*.jsonl*")
        }
        return sorted(names)


def opened(path: Path, mode: str) -> IO[Any]:
    """Open a text file, compressed if its name says so."""
    if path.suffix == ".gz":
        return cast("IO[Any]", gzip.open(path, mode, encoding="utf-8", newline="\n"))
    return path.open(mode, encoding="utf-8", newline="\n")

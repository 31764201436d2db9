"""What every call was and what came back, a JSON line each, written by a thread of its own."""

from __future__ import annotations

import gzip
import json
import queue
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LEFT_OUT = ("pricing_context", "product_info")
_IMAGE = re.compile(r'"qr_code":"data:[^"]*",?')


class History:
    """An open history; close it to have everything on the disk."""

    def __init__(self, file: Path) -> None:
        self._lines: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._stream = gzip.open(file, "wt", 1, encoding="utf-8")  # noqa: SIM115 - see close
        self._thread = threading.Thread(target=self._write, name="history", daemon=True)
        self._thread.start()

    def add(self, line: Mapping[str, Any]) -> None:
        """Take a line; returns at once."""
        self._lines.put(line)

    def close(self) -> None:
        """Write what is left."""
        self._lines.put(None)
        self._thread.join()
        self._stream.close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            self._stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def kept(raw: bytes, *, mutation: bool) -> Any:
    """Return what of an answer's body is worth keeping.

    A mutation's is its text, so that bytes can be compared, without images; a read's is its
    object, without price tables.
    """
    text = raw.decode(errors="replace")
    if mutation:
        return _IMAGE.sub("", text)
    try:
        body = json.loads(text) if text else None
    except ValueError:
        return text
    if not isinstance(body, dict):
        return body
    found = {name: value for name, value in body.items() if name not in _LEFT_OUT}
    for name in ("tickets", "items"):
        if isinstance(found.get(name), list):
            found[name] = [_without_image(each) for each in found[name]]
    return found


def _without_image(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    return {name: value for name, value in row.items() if name != "qr_code"}

"""Golden files: every message of every version ever released, as it lies in topics and logs.

    python -m tests.golden.files        writes the files that are missing, and touches no other

A file holds a record's headers and body, and for events also the `meta` column of their row. Old
logs are full of such records, so a file never changes and is never deleted: when a message gets
version 2, add an upcaster, change the example, run this for the new file, and keep that of version
1, which from then on shows that the upcaster works.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from libs.events import codec
from libs.events.envelope import Envelope
from libs.events.messages import EVENTS, MESSAGES
from libs.events.stored import meta_of
from tests.support import examples

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """The content of a golden file; *meta* is None for what has no row."""

    headers: codec.Headers
    body: bytes
    meta: str | None

    @classmethod
    def of(cls, envelope: Envelope) -> Golden:
        """Return what is stored of an envelope today."""
        figures = examples.FIGURES if envelope.data is examples.HOLD_PLACED else None
        headers, body = codec.encode(envelope, figures=figures)
        recorded = MESSAGES.message_of(envelope.data) in EVENTS
        return cls(headers, body, meta_of(envelope) if recorded else None)

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Read a file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        headers = [(name, value.encode()) for name, value in content["headers"].items()]
        return cls(headers, content["body"].encode(), content["meta"])

    def text(self) -> str:
        """Return the file's text."""
        content = {
            "headers": {name: value.decode() for name, value in self.headers},
            "body": self.body.decode(),
            "meta": self.meta,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def path_of(*, name: str, version: int) -> Path:
    """Return where the golden file of a message's version is."""
    return FOLDER / f"{name}.v{version}.json"


def write_missing() -> list[Path]:
    """Write the file of every registered message that has none yet, and return those."""
    written = []
    for example in examples.EXAMPLES:
        message = MESSAGES.message_of(example)
        path = path_of(name=message.name, version=message.version)
        if not path.exists():
            golden = Golden.of(examples.envelope_of(example))
            path.write_text(golden.text(), encoding="utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    for path in write_missing():
        sys.stdout.write(f"wrote {path.name}\n")

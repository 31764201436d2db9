"""Makes an export of a running system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ota_verify.broker import export_topics
from ota_verify.files import ExportError
from ota_verify.live import Progress, export_anchors, export_databases, heads_now

VERSION = 1
SETTLE_S = 0.5
"""What was recorded just before the snapshots gets this long to be published."""


async def export(
    folder: Path, *, dsns: Mapping[str, str], bootstrap: str | None, progress: Progress
) -> None:
    """Write an export into an empty folder; raises ExportError, OSError, what drivers raise.

    Databases first, each in a snapshot of its own, then the topics, then the anchors, then where
    the logs end by now: so nothing in flight is taken for a fault.
    """
    _prepare(folder)
    began = datetime.now(UTC)
    about = await export_databases(folder, dsns, progress=progress)
    topics = None
    if bootstrap is not None:
        await asyncio.sleep(SETTLE_S)
        topics = await export_topics(folder, bootstrap, progress=progress)
    await export_anchors(folder, dsns)
    about |= {
        "version": VERSION,
        "began_at": began.isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "topics": topics,
        "heads_after": await heads_now(dsns),
    }
    text = json.dumps(about, indent=1) + "\n"
    (folder / "export.json").write_text(text, encoding="utf-8")


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ExportError(f"{folder} is not empty")

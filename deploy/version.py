"""Which version of the checkout a report was made with; all those under docs/evidence say it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from deploy.local.settings import CHECKOUT

GIT_TIMEOUT_S = 10
# A report that was written a minute ago changes nothing of what the next one reports on.
_WHAT_COUNTS = (".", ":!docs/evidence")


def commit() -> dict[str, Any]:
    """Return the checkout's commit id and whether files differ from it; None where git is not."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", *_WHAT_COUNTS)
    return {"id": head, "changed_files": None if changes is None else bool(changes)}


def named(found: Mapping[str, Any]) -> str:
    """Return what `commit` has found in words."""
    changed = " with changes" if found["changed_files"] else ""
    return f"commit {(found['id'] or 'unknown')[:12]}{changed}"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

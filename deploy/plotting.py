"""The plotting library, as reports import it."""

from __future__ import annotations

import sys
from typing import Any


def library() -> Any:
    """Import pygal without the hook that it leaves behind, which slows down every later import."""
    hooks = sys.meta_path[:]
    import pygal

    sys.meta_path[:] = hooks
    return pygal

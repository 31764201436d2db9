"""The plotting library as reports use it: pictures that load nothing from anywhere."""

from __future__ import annotations

import re
import sys
from typing import Any

_SCRIPT = re.compile(rb"<script.*?</script>", re.DOTALL)


def library() -> Any:
    """Import pygal without the hook that it leaves behind, which slows down every later import."""
    hooks = sys.meta_path[:]
    import pygal

    sys.meta_path[:] = hooks
    return pygal


def svg(plot: Any) -> bytes:
    """Return a plot as an SVG file without scripts."""
    return _SCRIPT.sub(b"", plot.render())

"""Faults that pass: whoever meets one answers that nothing was done and a repeat may help."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """A database could not be asked in time; nothing was changed, or a repeat finds it done."""


class ViewBehind(Exception):
    """A view has not reached what a caller was already told; an old answer would be wrong."""

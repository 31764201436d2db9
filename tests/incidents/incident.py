"""What a staged incident is: what is done, which alert has to tell of it, and where it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from tests.incidents.ground import Ground

Stage = Callable[[Ground], AbstractAsyncContextManager[float]]
"""Does the harm when entered and gives the moment at which it began; heals when left."""


@dataclass(frozen=True, slots=True)
class Look:
    """A panel of a dashboard; of its curves those that have *of* in their legend."""

    dashboard: str
    panel: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Glance:
    """Rows of a panel of the console's page at *path*: those that have *of* in them."""

    path: str
    panel: str
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One of the ten. *labels* are some of the alert's; ``{data}`` in one is the data folder.

    *lingers* says why the alert goes on after the cause is gone; empty: it ends soon.
    *pictured* is the console's page that is kept as a picture.
    """

    number: int
    title: str
    done: str
    healed: str
    alert: str
    stage: Stage
    looks: tuple[Look, ...]
    glances: tuple[Glance, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    lingers: str = ""
    pictured: str | None = None

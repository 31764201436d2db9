"""All faults, by the numbers of the plan."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults import callers, kafka, network, postgres, services
from chaos.faults.fault import Fault

ALL: tuple[Fault, ...] = (
    Fault(name="F1", title="a service is killed", inject=services.kill, cards=3),
    Fault(name="F2", title="an owner is paused", inject=services.stop_owner, cards=2),
    Fault(name="F3", title="rolling restart", inject=services.roll),
    Fault(name="F4", title="PostgreSQL crashes or stops", inject=postgres.crash, cards=2),
    Fault(name="F5", title="power cut of PostgreSQL", inject=postgres.power_cut, root=True),
    Fault(name="F6", title="Kafka crashes or stops", inject=kafka.crash, cards=2),
    Fault(name="F7", title="power cut of Kafka", inject=kafka.power_cut, root=True),
    Fault(name="F8", title="network", inject=network.disturb, cards=3),
    Fault(name="F9", title="the answer to a write is lost", inject=postgres.lost_write, cards=2),
    Fault(name="F10", title="the answer to a record is lost", inject=kafka.lost_produce),
    Fault(name="F11", title="repeats and rewinds", inject=kafka.repeat, cards=2),
    Fault(name="F12", title="double owners", inject=services.double, cards=2),
    Fault(name="F14", title="disk full", inject=postgres.disk_full, root=True),
    Fault(name="F15", title="slow disk", inject=postgres.slow_disk),
    Fault(name="F17", title="blocked event loop", inject=services.block, cards=2),
    Fault(name="F18", title="poison", inject=kafka.poison),
    Fault(name="F19", title="hot keys", inject=callers.hot_keys),
    Fault(name="F20", title="mass expiry", inject=callers.mass_expiry),
    Fault(name="F21", title="activation against expiry", inject=callers.races),
    Fault(name="F22", title="hostile clients", inject=callers.bad_manners),
    Fault(name="F24", title="no more files", inject=services.no_files),
    Fault(name="F24", title="no more sessions", inject=services.no_connections),
    Fault(name="F25", title="overload", inject=callers.overload),
)
NAMES = tuple(dict.fromkeys(each.name for each in ALL))


def chosen(names: Sequence[str], *, root: bool) -> dict[str, Fault]:
    """Return the faults of these names (all of them if there are none) by title."""
    return {
        each.title: each
        for each in ALL
        if (not names or each.name in names) and (root or not each.root)
    }


def left_out(names: Sequence[str], *, root: bool) -> list[str]:
    """Return the titles of wanted faults that need root where there is none."""
    return [
        f"{each.name} {each.title}"
        for each in ALL
        if each.root and not root and (not names or each.name in names)
    ]

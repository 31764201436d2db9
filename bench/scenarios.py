"""All scenarios, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.beside import Echo, HotRowBeside, UsualWay
from bench.due import Due
from bench.ground import Scenario
from bench.idle import Idle
from bench.load import Load
from bench.many_tickets import ManyTickets
from bench.rush import Rush
from bench.settings import CLIENTS, SPREAD_PRODUCTS, SettingsError
from bench.tally import CREATED

READ_ANSWERS = frozenset({"200", "304"})
PAIR_ANSWERS = frozenset({CREATED, "reserve 201"})
MIXED_ANSWERS = frozenset(
    {"inventory 200", "reserve 201", "activate 201", "cancel 204", "list 200"}
)

SCENARIOS: Sequence[Scenario] = (
    Idle(),
    Echo(),
    Load(
        name="reserve",
        about="POST /reserve, 1 unit of one hot product, closed loop.",
        counted="reserves",
        clients=CLIENTS,
        choosable=True,
    ),
    HotRowBeside(),
    UsualWay(),
    Load(
        name="reserve-open",
        about="The same, arriving as a Poisson process; latency from the arrival.",
        counted="reserves",
        rates=(500, 1000, 1500, 2000, 2500, 3000),
        quick=(500, 1000, 2000),
    ),
    Load(
        name="all-products",
        about="POST /reserve over four products in four partitions.",
        counted="reserves",
        clients=(32, 128, 256),
        products=SPREAD_PRODUCTS,
    ),
    Load(
        name="pairs",
        about="Reserve, then activate with ?qr=token; latency is the activation's.",
        counted="pairs",
        traffic="pairs",
        clients=(64, 256),
        expected=PAIR_ANSWERS,
    ),
    Load(
        name="activate-qr",
        about="Activate holds of 1 unit, each answer with its QR image.",
        counted="activations",
        traffic="activate",
        clients=(32,),
        images=True,
        prepare_per_s=700,
        expected=PAIR_ANSWERS,
    ),
    Load(
        name="activate-token",
        about="Activate holds of 1 unit with ?qr=token.",
        counted="activations",
        traffic="activate",
        clients=(32,),
        prepare_per_s=1500,
        expected=PAIR_ANSWERS,
    ),
    Load(
        name="inventory",
        about="GET /inventory.",
        counted="reads",
        traffic="read",
        clients=(32,),
        expected=READ_ANSWERS,
    ),
    Load(
        name="inventory-304",
        about="GET /inventory with If-None-Match, nothing new.",
        counted="reads",
        traffic="read",
        conditional=True,
        clients=(32,),
        expected=READ_ANSWERS,
    ),
    Load(
        name="mixed",
        about="60 % inventory, 20 % reserve, 10 % activate (?qr=token), 4 % cancel, 6 % lists.",
        counted="requests",
        traffic="mixed",
        clients=(32, 128),
        expected=MIXED_ANSWERS,
    ),
    ManyTickets(),
    Rush(),
    Due(),
)
# They take processes away, which leaves the scenarios behind them without figures of CPU.
ONLY_BY_NAME: Sequence[Scenario] = (
    Due(
        name="due-restart",
        about="As `due`, but inventory and reservation are killed (-9) half a second before.",
        killed=("inventory", "reservation"),
    ),
)


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios with these names; without any, all that disturb no other.

    Raises SettingsError.
    """
    everything = (*SCENARIOS, *ONLY_BY_NAME)
    known = {scenario.name: scenario for scenario in everything}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(f"no scenario {', '.join(unknown)}; there are {', '.join(known)}")
    return [each for each in everything if each.name in names] if names else list(SCENARIOS)

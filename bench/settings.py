"""What a benchmark can be told: environment variables, and flags that win over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTNER_KEY = "ota_bench_key_00001"
SECOND_PARTNER_KEY = "ota_bench_key_00002"
PARTNERS = ("bench_partner", "bench_partner_2")
CHANNEL = "bench"
HOT_PRODUCT = 900
SPREAD_PRODUCTS = (900, 901, 902, 903)
RUSH_PRODUCT = 910
RUSH_POOL_UNITS = 2_000
CLIENTS = (1, 8, 32, 128, 256)
CLIENTS_MAX = 1000
SECONDS_MAX = 600
ROUNDS_MAX = 20

DEFAULTS: Mapping[str, str] = {
    "BENCH": "quick",
    "BENCH_CLIENTS": ",".join(map(str, CLIENTS)),
    "BENCH_SECONDS": "2 quick, 8 full",
    "BENCH_WARM_UP_SECONDS": "1 quick, 2 full",
    "BENCH_PRODUCTS": str(HOT_PRODUCT),
    "BENCH_ROUNDS": "1 quick, 3 full",
    "BENCH_ONLY": "all",
}
_BY_KIND = {
    "BENCH_SECONDS": ("2", "8"),
    "BENCH_WARM_UP_SECONDS": ("1", "2"),
    "BENCH_ROUNDS": ("1", "3"),
}


class SettingsError(ValueError):
    """A setting cannot be used; the message names the variable and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How long and how often to measure; *clients* and *products* are those of `reserve`.

    *only* names the scenarios to run; empty is all.
    """

    full: bool
    rounds: int
    clients: tuple[int, ...]
    seconds: int
    warm_up_s: int
    products: tuple[int, ...]
    only: tuple[str, ...] = ()


def parse(values: Mapping[str, str]) -> RunSettings:
    """Read the settings; an empty or missing value is the default. Raises SettingsError."""
    kind = values.get("BENCH", "").strip() or DEFAULTS["BENCH"]
    if kind not in ("quick", "full"):
        raise SettingsError(f"BENCH={kind}: quick or full")
    full = kind == "full"

    def numbers(name: str, lowest: int, highest: int) -> tuple[int, ...]:
        default = _BY_KIND[name][full] if name in _BY_KIND else DEFAULTS[name]
        text = values.get(name, "").strip() or default
        try:
            parsed = tuple(int(part) for part in text.split(","))
        except ValueError:
            parsed = ()
        if not parsed or not all(lowest <= number <= highest for number in parsed):
            raise SettingsError(
                f"{name}={text}: whole numbers from {lowest} to {highest}, separated by commas"
            )
        return parsed

    def number(name: str, lowest: int, highest: int) -> int:
        found = numbers(name, lowest, highest)
        if len(found) != 1:
            raise SettingsError(f"{name} takes one number")
        return found[0]

    products = numbers("BENCH_PRODUCTS", min(SPREAD_PRODUCTS), max(SPREAD_PRODUCTS))
    names = (name.strip() for name in values.get("BENCH_ONLY", "").split(","))
    return RunSettings(
        full=full,
        rounds=number("BENCH_ROUNDS", 1, ROUNDS_MAX),
        clients=numbers("BENCH_CLIENTS", 1, CLIENTS_MAX),
        seconds=number("BENCH_SECONDS", 1, SECONDS_MAX),
        warm_up_s=number("BENCH_WARM_UP_SECONDS", 0, SECONDS_MAX),
        products=tuple(dict.fromkeys(products)),
        only=tuple(name for name in names if name),
    )

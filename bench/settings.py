"""What a benchmark can be told: environment variables, and flags that win over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTNER_KEY = "ota_bench_key_00001"
CHANNEL = "bench"
HOT_PRODUCT = 900
SPREAD_PRODUCTS = (900, 901, 902, 903)
RUSH_PRODUCT = 910
RUSH_POOL_UNITS = 2000
RUSH_REQUESTS = 400
RUSH_QUANTITY = 10
SQL_CLIENTS = (1, 8, 32)
ECHO_CLIENTS = (32,)
CLIENTS_MAX = 1000
SECONDS_MAX = 600

DEFAULTS: Mapping[str, str] = {
    "BENCH_CLIENTS": "1,8,32,128",
    "BENCH_SECONDS": "8",
    "BENCH_WARM_UP_SECONDS": "2",
    "BENCH_PRODUCTS": str(HOT_PRODUCT),
}


class SettingsError(ValueError):
    """A setting cannot be used; the message names the variable and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """The closed loop's steps; products take turns, one product is one hot pool."""

    clients: tuple[int, ...]
    seconds: int
    warm_up_s: int
    products: tuple[int, ...]


def parse(values: Mapping[str, str]) -> LoadSettings:
    """Read the settings; an empty or missing value is the default. Raises SettingsError."""

    def numbers(name: str, lowest: int, highest: int) -> tuple[int, ...]:
        text = values.get(name, "").strip() or DEFAULTS[name]
        try:
            parsed = tuple(int(part) for part in text.split(","))
        except ValueError:
            parsed = ()
        if not parsed or not all(lowest <= number <= highest for number in parsed):
            raise SettingsError(
                f"{name}={text}: whole numbers from {lowest} to {highest}, separated by commas"
            )
        return parsed

    def number(name: str, lowest: int) -> int:
        found = numbers(name, lowest, SECONDS_MAX)
        if len(found) != 1:
            raise SettingsError(f"{name} takes one number")
        return found[0]

    products = numbers("BENCH_PRODUCTS", min(SPREAD_PRODUCTS), max(SPREAD_PRODUCTS))
    return LoadSettings(
        clients=numbers("BENCH_CLIENTS", 1, CLIENTS_MAX),
        seconds=number("BENCH_SECONDS", 1),
        warm_up_s=number("BENCH_WARM_UP_SECONDS", 0),
        products=tuple(dict.fromkeys(products)),
    )

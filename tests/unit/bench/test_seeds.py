"""The benchmark's seeds: the development catalogue untouched, products of its own beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bench.seed import CATALOGUE_FILE, PARTNERS_FILE
from bench.settings import (
    CHANNEL,
    PARTNER_KEY,
    PARTNERS,
    RUSH_POOL_UNITS,
    RUSH_PRODUCT,
    SECOND_PARTNER_KEY,
    SPREAD_PRODUCTS,
)

DEPLOY = Path(__file__).parents[3] / "deploy"
OWN_PRODUCTS = {*SPREAD_PRODUCTS, RUSH_PRODUCT}


def read(path: Path) -> dict[str, Any]:
    """Return a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_the_development_catalogue_is_in_it() -> None:
    """All that is not the benchmark's is the same as in the development catalogue."""
    bench, development = read(CATALOGUE_FILE), read(DEPLOY / "catalogue" / "development.toml")
    bench["products"] = [row for row in bench["products"] if row["id"] not in OWN_PRODUCTS]
    bench["pools"] = [row for row in bench["pools"] if row["channel"] != CHANNEL]
    del bench["version"], development["version"]
    assert development == bench


def test_its_version_is_far_above() -> None:
    """The development catalogue may grow without a clash of versions."""
    bench, development = read(CATALOGUE_FILE), read(DEPLOY / "catalogue" / "development.toml")
    assert bench["version"] >= 1000 * development["version"]


def test_own_pools() -> None:
    """There is a hot pool in each of the four partitions, and a small one for the rush."""
    pools = [row for row in read(CATALOGUE_FILE)["pools"] if row["channel"] == CHANNEL]
    hot = {row["product"]: row["partition"] for row in pools if row["product"] in SPREAD_PRODUCTS}
    assert dict(zip(SPREAD_PRODUCTS, range(4), strict=True)) == hot
    rush = next(row for row in pools if row["product"] == RUSH_PRODUCT)
    assert RUSH_POOL_UNITS == rush["units"]


def test_own_partners() -> None:
    """The partners have the keys that the benchmark sends, and a channel of their own."""
    partners = read(PARTNERS_FILE)["partners"]
    assert list(PARTNERS) == [each["partner_id"] for each in partners]
    assert [[PARTNER_KEY], [SECOND_PARTNER_KEY]] == [each["keys"] for each in partners]
    assert {CHANNEL} == {each["channel"] for each in partners}

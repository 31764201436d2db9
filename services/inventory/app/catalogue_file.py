"""The catalogue file: TOML that people write -> a checked `Catalogue`.

Checks what the file alone can show. Whether it may follow the current catalogue
(a newer version, allotments not below what is sold) is the ledger's decision.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from libs.kernel.catalogue import (
    AddOn,
    Catalogue,
    Entitlement,
    PoolPlan,
    PriceRules,
    Product,
    SpecialDate,
)
from libs.kernel.ids import PARTITIONS_MAX
from libs.kernel.money import minor_units

R = TypeVar("R")

PRICE_MAX_MINOR = 100_000_000
MULTIPLIER_MIN = Decimal("0.1")
MULTIPLIER_MAX = Decimal(10)
UNITS_MAX = 1_000_000_000
ROWS_MAX = 10_000
POOL_NO_MAX = 65_535


class CatalogueFileError(ValueError):
    """The catalogue file cannot be used; the message has a line for each thing to mend."""


def load_catalogue(*, path: Path) -> Catalogue:
    """Read and check the catalogue file at *path*; raises CatalogueFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueFileError(f"{path}: cannot be read: {error}") from error
    return parse_catalogue(text=text, source=str(path))


def parse_catalogue(*, text: str, source: str) -> Catalogue:
    """Check a catalogue file's text; raises CatalogueFileError naming *source*, key and reason."""
    try:
        # Decimal, because 318.10 has no exact binary fraction.
        rows = _CatalogueRow.model_validate(tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueFileError(f"{source}: is not TOML: {error}") from error
    except ValidationError as error:
        problems = [(_key(problem["loc"]), _reason(problem["msg"])) for problem in error.errors()]
        raise _refused(source, problems) from error
    if problems := list(_contradictions(rows)):
        raise _refused(source, problems)
    return _catalogue(rows)


def _price_minor(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("an amount is a number, such as 288 or 318.50")
    return minor_units(value)


def _permille(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("a multiplier is a number, such as 1.5")
    multiplier = Decimal(value)
    if not multiplier.is_finite() or not MULTIPLIER_MIN <= multiplier <= MULTIPLIER_MAX:
        raise ValueError(f"a multiplier lies between {MULTIPLIER_MIN} and {MULTIPLIER_MAX}")
    if multiplier != multiplier.quantize(Decimal("0.001")):
        raise ValueError("a multiplier has at most 3 decimals")
    return int(multiplier * 1000)


Text = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Sku = Annotated[str, Field(pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)*$", max_length=64)]
Price = Annotated[int, BeforeValidator(_price_minor), Field(ge=0, le=PRICE_MAX_MINOR)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class _Row(BaseModel):
    """A table of the file: types as written, unknown keys refused (they are misspelt ones)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _EntitlementRow(_Row):
    code: Code
    name: Text
    uses: Count


class _PricesRow(_Row):
    adult_weekday: Price
    adult_weekend: Price
    child: Price
    elderly: Price
    special_dates: bool
    holidays_are_weekend: bool = False


class _ProductRow(_Row):
    id: Count
    name: Text
    sku: Sku
    ticket_prefix: Sku
    active: bool
    prices: _PricesRow
    entitlements: list[_EntitlementRow] = Field(min_length=1, max_length=100)


class _SpecialDateRow(_Row):
    on: date = Field(alias="date")
    adult_multiplier: Annotated[int, BeforeValidator(_permille)]


class _AddOnRow(_Row):
    id: Code
    name: Text
    price: Price
    tokens: Count


class _PoolRow(_Row):
    pool_no: int = Field(ge=1, le=POOL_NO_MAX)
    product: int
    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    partition: int = Field(ge=0, lt=PARTITIONS_MAX)
    units: int = Field(ge=0, le=UNITS_MAX)


class _CatalogueRow(_Row):
    version: Count
    currency: Literal["HKD"]
    special_dates: list[_SpecialDateRow] = Field(max_length=ROWS_MAX)
    addons: list[_AddOnRow] = Field(max_length=ROWS_MAX)
    pools: list[_PoolRow] = Field(max_length=POOL_NO_MAX)
    products: list[_ProductRow] = Field(min_length=1, max_length=ROWS_MAX)


Problem = tuple[str, str]
"""A key of the file and what is wrong with it."""


def _contradictions(rows: _CatalogueRow) -> Iterator[Problem]:
    """Yield what is wrong between rows that are each right by themselves."""
    yield from _repeats("products", rows.products, "id", lambda row: row.id)
    yield from _repeats("products", rows.products, "sku", lambda row: row.sku)
    yield from _repeats("addons", rows.addons, "id", lambda row: row.id)
    yield from _repeats("special_dates", rows.special_dates, "date", lambda row: row.on)
    yield from _repeats("pools", rows.pools, "pool_no", lambda row: row.pool_no)
    yield from _repeats("pools", rows.pools, "channel", lambda row: (row.product, row.channel))
    known = {product.id for product in rows.products}
    for index, pool in enumerate(rows.pools):
        if pool.product not in known:
            yield f"pools[{index}].product", f"there is no product {pool.product}"
    for index, product in enumerate(rows.products):
        key = f"products[{index}]"
        yield from _repeats(
            f"{key}.entitlements", product.entitlements, "code", lambda row: row.code
        )
        if product.prices.holidays_are_weekend:
            # Without the calendar the flag would change nothing and nobody would notice.
            yield f"{key}.prices.holidays_are_weekend", "the catalogue has no holidays yet"


def _repeats(
    table: str, rows: Sequence[R], field: str, identity: Callable[[R], Hashable]
) -> Iterator[Problem]:
    first: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        earlier = first.setdefault(identity(row), index)
        if earlier != index:
            yield f"{table}[{index}].{field}", f"the same as in {table}[{earlier}]"


def _key(location: Iterable[int | str]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _refused(source: str, problems: Iterable[Problem]) -> CatalogueFileError:
    return CatalogueFileError("\n".join(f"{source}: {key}: {why}" for key, why in problems))


def _catalogue(rows: _CatalogueRow) -> Catalogue:
    return Catalogue(
        version=rows.version,
        products=tuple(_product(rows, product) for product in rows.products),
        addons=tuple(
            AddOn(addon_id=row.id, name=row.name, unit_price_minor=row.price, tokens=row.tokens)
            for row in rows.addons
        ),
        pools=tuple(
            PoolPlan(
                pool_no=row.pool_no,
                product_id=row.product,
                channel=row.channel,
                partition=row.partition,
                units=row.units,
            )
            for row in rows.pools
        ),
    )


def _product(rows: _CatalogueRow, product: _ProductRow) -> Product:
    prices = product.prices
    special_dates = tuple(
        SpecialDate(on=row.on, multiplier_permille=row.adult_multiplier)
        for row in sorted(rows.special_dates, key=lambda row: row.on)
    )
    return Product(
        product_id=product.id,
        name=product.name,
        sku=product.sku,
        ticket_prefix=product.ticket_prefix,
        active=product.active,
        prices=PriceRules(
            rule_version=rows.version,
            currency=rows.currency,
            adult_weekday_minor=prices.adult_weekday,
            adult_weekend_minor=prices.adult_weekend,
            child_minor=prices.child,
            elderly_minor=prices.elderly,
            special_dates=special_dates if prices.special_dates else (),
            holidays_are_weekend=prices.holidays_are_weekend,
        ),
        entitlements=tuple(
            Entitlement(function_code=row.code, function_name=row.name, max_uses=row.uses)
            for row in product.entitlements
        ),
    )

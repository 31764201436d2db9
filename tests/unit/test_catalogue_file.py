"""The catalogue file: what the shipped one says, and how wrong ones are refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from libs.kernel.catalogue import AddOn, Catalogue, Entitlement, PoolPlan, SpecialDate
from libs.kernel.pricing import unit_price_minor
from services.inventory.app.catalogue_file import (
    CatalogueFileError,
    load_catalogue,
    parse_catalogue,
)

DEVELOPMENT = Path(__file__).parents[2] / "deploy" / "catalogue" / "development.toml"

SMALL = """\
version = 3
currency = "HKD"
special_dates = [
  { date = 2026-12-31, adult_multiplier = 1.5 },
  { date = 2025-12-31, adult_multiplier = 1.125 },
]
addons = [{ id = "tokens", name = "Tokens", price = 0.10, tokens = 1 }]
pools = [
  { pool_no = 1, product = 7, channel = "ota", partition = 0, units = 10 },
  { pool_no = 2, product = 7, channel = "direct", partition = 63, units = 0 },
]

[[products]]
id = 7
name = "Harbour Tour"
sku = "HARBOUR"
ticket_prefix = "HARBOUR-1"
active = true
entitlements = [{ code = "ferry", name = "Ferry", uses = 1 }]

[products.prices]
adult_weekday = 318.10
adult_weekend = 320
child = 0
elderly = 1
special_dates = true
"""


@pytest.fixture(scope="module")
def development() -> Catalogue:
    return load_catalogue(path=DEVELOPMENT)


def refusal(text: str) -> str:
    with pytest.raises(CatalogueFileError) as caught:
        parse_catalogue(text=text, source="c.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("product_id", "name", "sku", "ticket_prefix", "active"),
    [
        (
            106,
            "Premium Plan (Central to Cheung Chau)",
            "CRUISE-2025-PREMIUM",
            "CRUISE-2025-FERRY",
            True,
        ),
        (107, "Pet Plan", "CRUISE-2025-PET", "CRUISE-2025-FERRY", True),
        (108, "Deluxe Tea Set For Two", "CRUISE-2025-DELUXE", "CRUISE-2025-FERRY", True),
        (101, "Day Pass", "DAY-2025", "PARK-2025", True),
        (102, "VIP Pass", "VIP-2025", "PARK-2025", True),
        (103, "Family Pass", "FAMILY-2025", "PARK-2025", True),
        (104, "Student Pass", "STUDENT-2025", "PARK-2025", True),
        (105, "Season Pass", "SEASON-2025", "PARK-2025", False),
    ],
)
def test_development_products(
    development: Catalogue, product_id: int, name: str, sku: str, ticket_prefix: str, active: bool
) -> None:
    """The shipped file has the contract's products, under version 1."""
    product = development.product(product_id)
    assert product is not None
    assert (name, sku, ticket_prefix, active) == (
        product.name,
        product.sku,
        product.ticket_prefix,
        product.active,
    )
    assert (1, 1, "HKD") == (
        development.version,
        product.prices.rule_version,
        product.prices.currency,
    )
    assert not product.prices.holidays_are_weekend


def test_development_has_no_other_products(development: Catalogue) -> None:
    """Eight products are for sale, and an id beside them finds none."""
    assert {101, 102, 103, 104, 105, 106, 107, 108} == {
        product.product_id for product in development.products
    }
    assert development.product(109) is None


@pytest.mark.parametrize(
    ("product_id", "expected"),
    [
        (106, {"ferry": 1, "monchhichi_gift": 1, "playground_tokens": 10}),
        (107, {"pet_ferry": 1, "pet_playground": 1}),
        (108, {"vip_ferry": 2, "monchhichi_gift_x2": 2, "playground_tokens": 20, "tea_set": 1}),
        (101, {"park_entry": 1}),
        (102, {"park_entry": 1}),
        (103, {"park_entry": 1}),
        (104, {"park_entry": 1}),
        (105, {"park_entry": 365}),
    ],
)
def test_development_entitlements(
    development: Catalogue, product_id: int, expected: dict[str, int]
) -> None:
    """A package entitles to the contract's functions, each with a name for people."""
    product = development.product(product_id)
    assert product is not None
    assert expected == {e.function_code: e.max_uses for e in product.entitlements}
    assert all(
        e.function_name[0].isupper() and "_" not in e.function_name for e in product.entitlements
    )


def test_development_special_dates(development: Catalogue) -> None:
    """The cruise packages have the contract's special dates, the park passes none."""
    expected = (
        SpecialDate(on=date(2025, 12, 31), multiplier_permille=1500),
        SpecialDate(on=date(2026, 2, 18), multiplier_permille=1300),
        SpecialDate(on=date(2026, 12, 31), multiplier_permille=1500),
        SpecialDate(on=date(2027, 2, 6), multiplier_permille=1300),
        SpecialDate(on=date(2027, 12, 31), multiplier_permille=1500),
    )
    for product in development.products:
        cruise = product.product_id in (106, 107, 108)
        assert (expected if cruise else ()) == product.prices.special_dates


# HKD for an adult: no date, a Wednesday, a Saturday, a Sunday, then the five special dates.
VISITS = (
    None,
    date(2026, 1, 7),
    date(2026, 1, 10),
    date(2026, 1, 11),
    date(2025, 12, 31),
    date(2026, 2, 18),
    date(2026, 12, 31),
    date(2027, 2, 6),  # a Saturday: the weekend price is multiplied
    date(2027, 12, 31),
)
ADULT_HKD = {
    106: (288, 288, 318, 318, 432, 374, 432, 413, 432),
    107: (188, 188, 188, 188, 282, 244, 282, 244, 282),
    108: (788, 788, 888, 888, 1182, 1024, 1182, 1154, 1182),
    101: (99,) * 9,
    102: (299,) * 9,
    103: (350,) * 9,
    104: (59,) * 9,
    105: (599,) * 9,
}
OTHERS_HKD = {106: 188, 107: 188, 108: 188, 101: 99, 102: 299, 103: 350, 104: 59, 105: 599}


@pytest.mark.parametrize("product_id", ADULT_HKD)
def test_development_prices(development: Catalogue, product_id: int) -> None:
    """Every price of the contract: each product, kind of day and customer type."""
    product = development.product(product_id)
    assert product is not None

    def hkd(customer_type: str) -> tuple[int, ...]:
        rules = product.prices
        return tuple(
            unit_price_minor(rules=rules, customer_type=customer_type, on=on) // 100
            for on in VISITS
        )

    assert ADULT_HKD[product_id] == hkd("adult")
    assert (OTHERS_HKD[product_id],) * 9 == hkd("child")
    assert (OTHERS_HKD[product_id],) * 9 == hkd("elderly")


def test_development_addons(development: Catalogue) -> None:
    """The three token plans have the contract's prices."""
    assert [
        ("tokens-plan-a", 10_000, 10),
        ("tokens-plan-b", 18_000, 20),
        ("tokens-plan-c", 40_000, 50),
    ] == [(addon.addon_id, addon.unit_price_minor, addon.tokens) for addon in development.addons]


def test_development_pools(development: Catalogue) -> None:
    """Every product has a pool in both channels, with the contract's allotment."""
    assert [
        (1, 106, "ota", 0, 2000),
        (2, 107, "ota", 1, 1500),
        (3, 108, "ota", 2, 1500),
        (4, 106, "direct", 1, 1000),
        (5, 107, "direct", 2, 500),
        (6, 108, "direct", 3, 300),
        *((10 + n, 100 + n, "direct", 3, 1000) for n in range(1, 6)),
        *((20 + n, 100 + n, "ota", 3, 0) for n in range(1, 6)),
    ] == [(p.pool_no, p.product_id, p.channel, p.partition, p.units) for p in development.pools]


def test_small_file_becomes_a_catalogue() -> None:
    """Every key arrives where it belongs; amounts are exact, special dates in order."""
    catalogue = parse_catalogue(text=SMALL, source="c.toml")
    assert 3 == catalogue.version
    assert (
        PoolPlan(pool_no=1, product_id=7, channel="ota", partition=0, units=10),
        PoolPlan(pool_no=2, product_id=7, channel="direct", partition=63, units=0),
    ) == catalogue.pools
    assert (
        AddOn(addon_id="tokens", name="Tokens", unit_price_minor=10, tokens=1),
    ) == catalogue.addons
    (product,) = catalogue.products
    assert (31_810, 32_000, 0, 100, 3) == (
        product.prices.adult_weekday_minor,
        product.prices.adult_weekend_minor,
        product.prices.child_minor,
        product.prices.elderly_minor,
        product.prices.rule_version,
    )
    assert (
        SpecialDate(on=date(2025, 12, 31), multiplier_permille=1125),
        SpecialDate(on=date(2026, 12, 31), multiplier_permille=1500),
    ) == product.prices.special_dates
    assert (
        Entitlement(function_code="ferry", function_name="Ferry", max_uses=1),
    ) == product.entitlements


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ("version = 3\n", "", "version", "required"),
        ("version = 3\n", "version = 0\n", "version", "greater than or equal to 1"),
        ("version = 3\n", 'version = "3"\n', "version", "valid integer"),
        ("version = 3\n", "version = true\n", "version", "valid integer"),
        ("version = 3\n", "version = 3\nverison = 4\n", "verison", "not permitted"),
        ('"HKD"', '"USD"', "currency", "'HKD'"),
        ("318.10", "318.105", "products[0].prices.adult_weekday", "more than 2 decimals"),
        ("318.10", "-1", "products[0].prices.adult_weekday", "greater than or equal to 0"),
        ("318.10", '"318"', "products[0].prices.adult_weekday", "an amount is a number"),
        ("318.10", "true", "products[0].prices.adult_weekday", "an amount is a number"),
        ("318.10", "nan", "products[0].prices.adult_weekday", "not an amount"),
        ("318.10", "1000000.01", "products[0].prices.adult_weekday", "less than or equal"),
        ("child = 0\n", "", "products[0].prices.child", "required"),
        ("special_dates = true\n", "", "products[0].prices.special_dates", "required"),
        (
            "special_dates = true",
            "special_dates = true\nholidays_are_weekend = true",
            "products[0].prices.holidays_are_weekend",
            "no holidays",
        ),
        ("1.125", "1.1255", "special_dates[1].adult_multiplier", "at most 3 decimals"),
        ("1.125", "0.05", "special_dates[1].adult_multiplier", "between 0.1 and 10"),
        ("1.125", "-1", "special_dates[1].adult_multiplier", "between 0.1 and 10"),
        ("1.125", "15", "special_dates[1].adult_multiplier", "between 0.1 and 10"),
        ("1.125", "inf", "special_dates[1].adult_multiplier", "between 0.1 and 10"),
        ("1.125", '"1.1"', "special_dates[1].adult_multiplier", "a multiplier is a number"),
        ("2025-12-31", "2026-12-31", "special_dates[1].date", "special_dates[0]"),
        ("2025-12-31", '"2025-12-31"', "special_dates[1].date", "valid date"),
        ("2025-12-31", "2025-12-31T00:00:00", "special_dates[1].date", "valid date"),
        ("uses = 1", "uses = 0", "products[0].entitlements[0].uses", "greater than or equal to 1"),
        ("uses = 1", "uses = 1.0", "products[0].entitlements[0].uses", "valid integer"),
        (
            'entitlements = [{ code = "ferry", name = "Ferry", uses = 1 }]',
            "entitlements = []",
            "products[0].entitlements",
            "at least 1",
        ),
        ("pool_no = 2", "pool_no = 1", "pools[1].pool_no", "pools[0]"),
        ("pool_no = 2", "pool_no = 0", "pools[1].pool_no", "greater than or equal to 1"),
        ("pool_no = 2", "pool_no = 65536", "pools[1].pool_no", "less than or equal to 65535"),
        ('"direct"', '"ota"', "pools[1].channel", "pools[0]"),
        ('"direct"', '"Web"', "pools[1].channel", "pattern"),
        ("partition = 63", "partition = 64", "pools[1].partition", "less than 64"),
        ("partition = 63", "partition = -1", "pools[1].partition", "greater than or equal to 0"),
        ("units = 10 ", "units = -10 ", "pools[0].units", "greater than or equal to 0"),
        (
            "pool_no = 2, product = 7",
            "pool_no = 2, product = 8",
            "pools[1].product",
            "no product 8",
        ),
        ('sku = "HARBOUR"', 'sku = "harbour tour"', "products[0].sku", "pattern"),
        ('name = "Harbour Tour"', 'name = ""', "products[0].name", "at least 1"),
    ],
)
def test_wrong_file_is_refused_by_key(old: str, new: str, key: str, reason: str) -> None:
    """The one thing that is wrong is named, with file, key and reason."""
    assert 1 == SMALL.count(old)
    message = refusal(SMALL.replace(old, new, 1))
    assert message.startswith(f"c.toml: {key}: ")
    assert reason in message
    assert 1 == len(message.splitlines())


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        (
            SMALL[SMALL.index("[[products]]") :],
            [
                "c.toml: products[1].id: the same as in products[0]",
                "c.toml: products[1].sku: the same as in products[0]",
            ],
        ),
        (
            SMALL[SMALL.index("[[products]]") :]
            .replace("id = 7", "id = 8")
            .replace('"HARBOUR"', '"PEAK"')
            .replace("uses = 1 }", 'uses = 1 }, { code = "ferry", name = "Again", uses = 2 }'),
            [
                (
                    "c.toml: products[1].entitlements[1].code: "
                    "the same as in products[1].entitlements[0]"
                )
            ],
        ),
    ],
)
def test_repeated_rows_are_refused(addition: str, expected: list[str]) -> None:
    """Ids, stock keeping units and functions stand once each; all problems are named."""
    assert expected == refusal(SMALL + addition).splitlines()


def test_repeated_addon_is_refused() -> None:
    """An add-on's id stands once."""
    row = '{ id = "tokens", name = "Tokens", price = 0.10, tokens = 1 }'
    expected = "c.toml: addons[1].id: the same as in addons[0]"
    assert expected == refusal(SMALL.replace(row, f"{row}, {row}"))


def test_text_that_is_not_toml_is_refused_with_its_line() -> None:
    """A slip of the pen is found by its line."""
    message = refusal("version = 1\nproducts =\n")
    assert message.startswith("c.toml: is not TOML: ")
    assert "line 2" in message


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, and one that is no text, are named."""
    missing = tmp_path / "missing.toml"
    with pytest.raises(CatalogueFileError, match=r"missing\.toml: cannot be read"):
        load_catalogue(path=missing)
    missing.write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogueFileError, match=r"missing\.toml: cannot be read"):
        load_catalogue(path=missing)

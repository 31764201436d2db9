"""The partners file: what the seed says, how wrong files are refused, that keys stay secret."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import get_args

import pytest

from services.gateway.app.partners_file import (
    PartnerSeed,
    PartnersFileError,
    load_partners,
    parse_partners,
)
from services.gateway.domain.directory import Permission

SEED = Path(__file__).parents[2] / "deploy" / "seed" / "partners.toml"

PARTNER = """\
[[partners]]
partner_id = "harbour"
name = "Harbour Travel"
channel = "ota"
calls_per_minute = 60
permissions = ["inventory:read", "orders:read"]
keys = ["harbour-secret-1", "harbour-secret-2"]
"""

EVERYTHING = get_args(Permission)
NO_ADMIN = tuple(word for word in EVERYTHING if not word.startswith("admin:"))
SELLING = ("inventory:read", "reserve:create", "reserve:activate", "orders:read")


def refusal(text: str) -> str:
    with pytest.raises(PartnersFileError) as caught:
        parse_partners(text=text, source="p.toml")
    everything = "".join(traceback.format_exception(caught.value))
    assert "harbour-secret" not in everything
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "partner_id", "name", "channel", "permissions", "calls"),
    [
        ("ota_test_key_12345", "test_partner", "Test OTA Partner", "ota", NO_ADMIN, 100),
        ("ota_prod_key_67890", "prod_partner", "Production OTA Partner", "ota", SELLING, 1000),
        (
            "dudu_key_12345",
            "dudu_partner",
            "DuDu Travel",
            "ota",
            ("inventory:read", "orders:read", "tickets:bulk-generate", "tickets:activate"),
            500,
        ),
        (
            "ota251103_key_67890",
            "ota251103_partner",
            "OTA251103 Travel Group",
            "ota",
            (*SELLING, "tickets:bulk-generate", "tickets:activate"),
            300,
        ),
        (
            "ota_full_access_key_99999",
            "ota_full_access_partner",
            "Full Access Partner",
            "ota",
            EVERYTHING,
            500,
        ),
        ("direct_web_key_11111", "direct_web", "Own web shop", "direct", SELLING, 1000),
    ],
)
def test_seed(
    key: str, partner_id: str, name: str, channel: str, permissions: tuple[str, ...], calls: int
) -> None:
    """The development seed has the contract's partners, keys, permissions and limits."""
    (partner,) = (p for p in load_partners(path=SEED) if key in p.keys)
    expected = PartnerSeed(
        partner_id=partner_id,
        name=name,
        channel=channel,
        permissions=permissions,
        calls_per_minute=calls,
        keys=(key,),
    )
    assert expected == partner


def test_seed_has_no_other_partners() -> None:
    """Six partners, no more."""
    assert 6 == len(load_partners(path=SEED))


def test_keys_are_not_in_the_repr() -> None:
    """A partner that ends up in a log line does not take its keys there."""
    (partner,) = parse_partners(text=PARTNER, source="p.toml")
    assert ("harbour-secret-1", "harbour-secret-2") == partner.keys
    assert "harbour-secret" not in repr(partner)


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ('partner_id = "harbour"\n', "", "partners[0].partner_id", "required"),
        ('"harbour"', '"Harbour Travel"', "partners[0].partner_id", "pattern"),
        ('"Harbour Travel"', '""', "partners[0].name", "at least 1"),
        ('"ota"', '"Ota!"', "partners[0].channel", "pattern"),
        ("= 60", "= 0", "partners[0].calls_per_minute", "greater than or equal to 1"),
        ("= 60", '= "60"', "partners[0].calls_per_minute", "valid integer"),
        ("orders:read", "order:read", "partners[0].permissions[1]", "'orders:read'"),
        ("orders:read", "inventory:read", "partners[0].permissions[1]", "already"),
        ("harbour-secret-2", "short", "partners[0].keys[1]", "pattern"),
        ("harbour-secret-2", "harbour-secret 2", "partners[0].keys[1]", "pattern"),
        ("harbour-secret-2", "harbour-secret-2\\n", "partners[0].keys[1]", "pattern"),
        ("harbour-secret-2", "harbour-secret-1", "partners[0].keys[1]", "partners[0]"),
        ("harbour-secret-2", "otak_harbour-secret-2", "partners[0].keys[1]", "checksum"),
        ('-2"]', '-2", "harbour-secret-3"]', "partners[0].keys", "at most 2"),
        ('["harbour-secret-1", "harbour-secret-2"]', "[]", "partners[0].keys", "at least 1"),
        ("calls_per_minute", "calls_per_second", "partners[0].calls_per_minute", "required"),
    ],
)
def test_wrong_file_is_refused_by_key(old: str, new: str, key: str, reason: str) -> None:
    """File, key and reason are named; the keys are not."""
    message = refusal(PARTNER.replace(old, new, 1))
    assert message.startswith(f"p.toml: {key}: ")
    assert reason in message


def test_partners_and_keys_stand_once() -> None:
    """Two partners share neither their id nor a key."""
    again = PARTNER.replace("harbour-secret-2", "harbour-secret-3")
    assert [
        "p.toml: partners[1].partner_id: the same as in partners[0]",
        "p.toml: partners[1].keys[0]: is in use already, in partners[0]",
    ] == refusal(PARTNER + again).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "p.toml: partners: "),
        ("partners = []", "p.toml: partners: "),
        ("partners = [", "p.toml: is not TOML: "),
        (PARTNER + 'note = "harbour-secret-1', "p.toml: is not TOML: "),
        (PARTNER + 'note = "harbour-secret-1"', "p.toml: partners[0].note: "),
    ],
)
def test_file_of_another_shape_is_refused(text: str, expected: str) -> None:
    """An empty file, broken TOML and unknown keys are named."""
    assert refusal(text).startswith(expected)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, and one that is no text, are named without their content."""
    path = tmp_path / "partners.toml"
    with pytest.raises(PartnersFileError, match=r"partners\.toml: cannot be read: No such file"):
        load_partners(path=path)
    path.write_bytes(b"harbour-secret \xff")
    with pytest.raises(
        PartnersFileError, match=r"partners\.toml: cannot be read: it is not UTF-8$"
    ):
        load_partners(path=path)

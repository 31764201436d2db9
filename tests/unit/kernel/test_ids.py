"""Identifiers: their forms, that equal input gives equal ids, and the scrambled counters."""

from __future__ import annotations

import re
import uuid

import pytest

from libs.kernel import ids

KEY = bytes(range(32))
COMMAND = "11111111-1111-8111-8111-111111111111"


def command(
    *,
    partner_id: str = "test_partner",
    method: str = "POST",
    path: str = "/api/ota/reserve",
    idempotency_key: str = "key-1",
) -> str:
    return ids.command_id(
        partner_id=partner_id, method=method, path=path, idempotency_key=idempotency_key
    )


def test_ids_never_change_between_releases() -> None:
    """Stored ids and retries over a release depend on these very values."""
    numbers = ids.Numbers(KEY)
    assert "ae9e2078-d1d6-8474-bc93-a57214dda04e" == command()
    assert "res_0007YM389RKK9Y97RZ5BP3EDJZ" == ids.reservation_id(command_id=command(), pool_no=1)
    assert "b4bf8f4b-8909-897b-951d-4e5a507e3110" == ids.derived_uuid("event", "a", "b")
    assert "ORD-8702664741496" == numbers.order_id(partition=3, counter=1)
    assert "PARK-2025-6642556211081" == numbers.ticket_code(
        prefix="PARK-2025", partition=3, counter=1
    )
    assert "CONF-XEWNGHTY" == numbers.confirmation_code(partition=3, counter=1)


def test_command_id_is_a_version_8_uuid() -> None:
    """A command id is a UUID of the version that RFC 9562 keeps for own schemes."""
    parsed = uuid.UUID(command())
    assert (8, uuid.RFC_4122) == (parsed.version, parsed.variant)


@pytest.mark.parametrize(
    "other",
    [
        command(partner_id="dudu_partner"),
        command(method="DELETE"),
        command(path="/api/ota/reservations/cleanup"),
        command(idempotency_key="key-2"),
    ],
)
def test_command_id_depends_on_every_part_of_its_scope(other: str) -> None:
    """One key may be used once for each partner, method and path."""
    assert other != command()


def test_derived_uuid_keeps_parts_apart() -> None:
    """Moving a character from one part to the next gives another id."""
    assert ids.derived_uuid("event", "ab", "c") != ids.derived_uuid("event", "a", "bc")
    assert ids.derived_uuid("event", "a") != ids.derived_uuid("answer", "a")


@pytest.mark.parametrize("pool_no", [1, 2, 25, 255, 256, 65_535])
def test_reservation_id_carries_its_pool(pool_no: int) -> None:
    """The pool's number comes back out of the id, whose form is that of the contract."""
    reservation_id = ids.reservation_id(command_id=COMMAND, pool_no=pool_no)
    assert re.fullmatch(r"res_[0-9A-HJKMNP-TV-Z]{26}", reservation_id)
    assert pool_no == ids.pool_no_of(reservation_id)


def test_reservation_id_depends_on_command_and_pool() -> None:
    """Another command or another pool gives an id that differs in its hashed part too."""
    one = ids.reservation_id(command_id=COMMAND, pool_no=1)
    assert one == ids.reservation_id(command_id=COMMAND, pool_no=1)
    assert one != ids.reservation_id(command_id=command(), pool_no=1)
    assert one[-20:] != ids.reservation_id(command_id=COMMAND, pool_no=2)[-20:]


@pytest.mark.parametrize("pool_no", [-1, 0, 65_536])
def test_reservation_id_refuses_a_pool_number_without_room(pool_no: int) -> None:
    """A pool number that does not fit is an error, never cut off."""
    with pytest.raises(ValueError, match=r"outside 1\.\.65535"):
        ids.reservation_id(command_id=COMMAND, pool_no=pool_no)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "res_",
        "res_" + "0" * 25,
        "res_" + "0" * 27,
        "res_" + "0" * 26 + "\n",
        "RES_" + "1" * 26,
        "res_8" + "0" * 25,
        "res_0" + "a" * 25,
        "res_0" + "U" * 25,
        "res_0" + "\uff11" * 25,
        "ORD-1234567890123",
    ],
)
def test_pool_no_of_wrong_form_is_none(text: str) -> None:
    """A text of another form names no pool."""
    assert ids.pool_no_of(text) is None


def test_pool_no_of_pool_zero_is_none() -> None:
    """There is no pool 0, so an id of the right form that names it names none."""
    assert ids.pool_no_of("res_" + "0" * 26) is None


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "ORD-0000000000000"),
        (True, "ORD-1234567890123"),
        (False, "ORD-123456789012"),
        (False, "ORD-12345678901234"),
        (False, "ORD-1234567890123\n"),
        (False, "ord-1234567890123"),
        (False, "ORD-123456789012\u0663"),
        (False, ""),
    ],
)
def test_is_order_id(expected: bool, text: str) -> None:
    """An order id is ORD- and thirteen ASCII digits."""
    assert expected is ids.is_order_id(text)


@pytest.mark.parametrize("size", [*range(1, 66), 1000, 1025])
def test_scrambler_is_a_bijection(size: int) -> None:
    """Every number of the range is given exactly once, and leads back."""
    scrambler = ids.Scrambler(key=KEY, purpose="order", size=size)
    given = [scrambler.scramble(n) for n in range(size)]
    assert list(range(size)) == sorted(given)
    assert list(range(size)) == [scrambler.unscramble(n) for n in given]


@pytest.mark.parametrize("n", [0, 1, 63, 64, 9_999_999, 5 * 10**12, 10**13 - 1])
def test_scrambler_round_trip_at_full_size(n: int) -> None:
    """The size that orders and tickets use leads back as well, inside the range."""
    scrambler = ids.Scrambler(key=KEY, purpose="order", size=10**13)
    assert 0 <= scrambler.scramble(n) < 10**13
    assert n == scrambler.unscramble(scrambler.scramble(n))


def test_scrambler_tells_nothing_of_the_volume() -> None:
    """Neighbours land far apart: a thousand numbers spread over every tenth of the range."""
    scrambler = ids.Scrambler(key=KEY, purpose="order", size=10**13)
    tenths = {scrambler.scramble(n) // 10**12 for n in range(1000)}
    assert set(range(10)) == tenths


def test_scrambler_differs_by_purpose_and_key() -> None:
    """Equal counters of another purpose, or under another key, give unrelated numbers."""

    def first(key: bytes, purpose: str) -> list[int]:
        scrambler = ids.Scrambler(key=key, purpose=purpose, size=10**13)
        return [scrambler.scramble(n) for n in range(20)]

    order = first(KEY, "order")
    assert not set(order) & set(first(KEY, "ticket"))
    assert not set(order) & set(first(KEY[::-1], "order"))


@pytest.mark.parametrize("n", [-1, 10, 16, 10**9])
def test_scrambler_refuses_numbers_outside_its_range(n: int) -> None:
    """Both directions refuse what they cannot have given."""
    scrambler = ids.Scrambler(key=KEY, purpose="order", size=10)
    with pytest.raises(ValueError, match=r"outside 0\.\.9"):
        scrambler.scramble(n)
    with pytest.raises(ValueError, match=r"outside 0\.\.9"):
        scrambler.unscramble(n)


def test_numbers_have_the_forms_of_the_contract() -> None:
    """Order, ticket and confirmation numbers look as the contract says."""
    numbers = ids.Numbers(KEY)
    assert re.fullmatch(r"ORD-[0-9]{13}", numbers.order_id(partition=0, counter=0))
    ticket_code = numbers.ticket_code(prefix="CRUISE-2025-FERRY", partition=0, counter=0)
    assert re.fullmatch(r"CRUISE-2025-FERRY-[0-9]{13}", ticket_code)
    code = numbers.confirmation_code(partition=0, counter=0)
    assert re.fullmatch(r"CONF-[2-9A-HJKMNP-Z]{8}", code)


def test_numbers_are_never_given_twice() -> None:
    """Counters of all partitions share one range without meeting."""
    numbers = ids.Numbers(KEY)
    places = [(partition, counter) for partition in (0, 1, 3, 63) for counter in range(100)]
    orders = {numbers.order_id(partition=p, counter=c) for p, c in places}
    confirmations = {numbers.confirmation_code(partition=p, counter=c) for p, c in places}
    tickets = {numbers.ticket_code(prefix="P", partition=p, counter=c) for p, c in places}
    assert [len(places)] * 3 == [len(orders), len(confirmations), len(tickets)]


@pytest.mark.parametrize("partition", [-1, 64])
def test_numbers_refuse_a_partition_without_room(partition: int) -> None:
    """A partition beyond the reserved room would meet another one's numbers."""
    with pytest.raises(ValueError, match=r"outside 0\.\.63"):
        ids.Numbers(KEY).order_id(partition=partition, counter=0)


def test_numbers_refuse_a_negative_counter() -> None:
    """A counter starts at 0."""
    with pytest.raises(ValueError, match="outside"):
        ids.Numbers(KEY).order_id(partition=63, counter=-1)

"""Numbers that people see are given once, also after the log went back to an earlier moment."""

from __future__ import annotations

from libs.kernel.ids import NUMBERS_OF_A_GENERATION, Numbers

NUMBERS = Numbers(bytes(range(32)))


def seen(numbers: Numbers, *, counter: int) -> tuple[str, str, str]:
    """Return what one counter shows."""
    return (
        numbers.order_id(partition=3, counter=counter),
        numbers.confirmation_code(partition=3, counter=counter),
        numbers.ticket_code(prefix="X", partition=3, counter=counter),
    )


def test_a_generation_counts_where_none_has_counted() -> None:
    """The same counter shows another number in each, as if it had skipped ahead."""
    second, third = NUMBERS.of_generation(2), NUMBERS.of_generation(3)
    counters = range(50)
    shown = {
        text for n in (NUMBERS, second, third) for c in counters for text in seen(n, counter=c)
    }
    assert 3 * 3 * 50 == len(shown)
    skipped = seen(NUMBERS, counter=NUMBERS_OF_A_GENERATION + 7)
    assert skipped == seen(second, counter=7)


def test_a_generation_is_named_absolutely() -> None:
    """A partition that is served again counts on."""
    again = NUMBERS.of_generation(2).of_generation(2)
    assert seen(NUMBERS.of_generation(2), counter=1) == seen(again, counter=1)
    assert seen(NUMBERS, counter=1) == seen(again.of_generation(1), counter=1)


def test_there_is_room_for_a_hundred_restores() -> None:
    """The shortest number has it."""
    assert seen(NUMBERS.of_generation(100), counter=NUMBERS_OF_A_GENERATION - 1)

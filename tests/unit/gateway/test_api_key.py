"""The form of API keys: found by scanners, told apart by id, typing errors seen at once."""

from __future__ import annotations

import itertools
import re
import string

import pytest

from deploy.local.settings import CHECKOUT
from services.gateway.app.partners_file import load_partners
from services.gateway.domain.api_key import NewApiKey, is_mistyped, key_id_of, make_api_key


def made(byte: int = 0xA7) -> NewApiKey:
    """Return a key whose random bytes are all the same."""
    return make_api_key(random=lambda size: bytes([byte]) * size)


def test_a_key_is_prefix_id_secret_and_checksum() -> None:
    """What it is made of, to the character; the form is for good, for keys are with partners."""
    assert "otak_myktf9x7_6ZpzCCoNAIGH31ARmMXD54WhifpquF1NQlYE" == made().text
    assert re.fullmatch(r"otak_[0-9a-z]{8}_[0-9A-Za-z]{36}", made().text)
    assert made().key_id == made().text[5:13]
    assert made(0).text.startswith("otak_00000000_" + "0" * 30)


def test_all_randomness_is_used() -> None:
    """Any bit of the 40 and the 176 makes another key."""
    seen = set()
    for size, bit in [(5, bit) for bit in range(40)] + [(22, bit) for bit in range(176)]:

        def random(asked: int, size: int = size, bit: int = bit) -> bytes:
            return ((1 << bit) if asked == size else 0).to_bytes(asked, "big")

        seen.add(make_api_key(random=random).text)
    assert 40 + 176 == len(seen)


def test_the_secret_is_not_in_the_repr() -> None:
    """A key that ends up in a log line does so without its secret."""
    assert made().text not in repr(made())
    assert made().key_id in repr(made())


def test_every_typing_error_is_seen() -> None:
    """One wrong character, two swapped ones, a lost or an added one."""
    text = made(0x35).text
    assert not is_mistyped(text)
    for place in range(len("otak_"), len(text)):
        for wrong in string.ascii_letters + string.digits:
            if wrong != text[place]:
                assert is_mistyped(text[:place] + wrong + text[place + 1 :])
        assert is_mistyped(text[:place] + text[place + 1 :])
        assert is_mistyped(text[:place] + "0" + text[place:])
    swapped = (
        text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        for place in range(len("otak_"), len(text) - 1)
        if text[place] != text[place + 1]
    )
    assert all(map(is_mistyped, swapped))


@pytest.mark.parametrize("text", ["otak_", "otak_\n", "otak_é", "otak_\udce9" * 9, "otak_" * 10])
def test_anything_may_be_asked_about(text: str) -> None:
    """Whatever a header may hold: an answer, no error."""
    assert is_mistyped(text)
    assert is_mistyped(made().text + "\n")


def test_keys_of_the_seeds_have_a_form_of_their_own() -> None:
    """They go on to the look-up, as does anything that is not ours."""
    files = sorted((CHECKOUT / "deploy" / "seed").glob("*.toml"))
    partners = itertools.chain(
        *(load_partners(path=file) for file in files if "partners" in file.read_text("utf-8")[:200])
    )
    keys = [key for partner in partners for key in partner.keys]
    assert len(keys) >= 6
    assert not any(map(is_mistyped, [*keys, "", "otak", "OTAK_x", "wrong"]))


def test_a_key_that_was_found_says_which_it_is() -> None:
    """A whole key, its beginning or its id name the key; another text is taken as an id."""
    key = made()
    for text in (key.text, key.text[:20], f"otak_{key.key_id}", key.key_id):
        assert key.key_id == key_id_of(text)
    assert "key_0123" == key_id_of("key_0123")

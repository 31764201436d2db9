"""Master keys: known by id, followed while the gateway runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from services.gateway.app.master_keys import MasterKeys, MasterKeyUnknown, master_key_id

OLD, NEW = b"o" * 32, b"n" * 32
DATA_KEY = b"d" * 32


class File:
    """A file of keys that can change, and a clock."""

    def __init__(self, *keys: bytes) -> None:
        self.keys: Sequence[bytes] = keys
        self.broken = False
        self.reads = 0
        self.at = 0.0

    def read(self) -> Sequence[bytes]:
        """See `MasterKeys`."""
        self.reads += 1
        if self.broken:
            raise ValueError("line 1 is no key")
        return self.keys


def known(file: File) -> MasterKeys:
    """Return the master keys of a gateway."""
    return MasterKeys(read=file.read, monotonic=lambda: file.at)


def test_the_current_key_wraps_and_any_known_one_unwraps() -> None:
    """An id names the key; the key can't be seen in it, nor the data key in what is wrapped."""
    before, after = known(File(OLD)), known(File(NEW, OLD))
    wrapped, id = before.wrap(DATA_KEY)
    assert master_key_id(OLD) == id == before.current_id
    assert DATA_KEY == after.unwrap(wrapped, id)
    assert master_key_id(NEW) == after.wrap(DATA_KEY)[1]
    assert DATA_KEY not in wrapped
    assert OLD.hex() not in id
    with pytest.raises(InvalidUnwrap):
        before.unwrap(bytes(len(wrapped)), id)


def test_a_key_that_is_new_in_the_file_is_found_at_need() -> None:
    """Another gateway wraps under the new key a moment before this one has looked."""
    file = File(OLD)
    ours, theirs = known(file), known(File(NEW, OLD))
    wrapped, id = theirs.wrap(DATA_KEY)
    with pytest.raises(MasterKeyUnknown, match=id):
        ours.unwrap(wrapped, id)
    file.keys = (NEW, OLD)
    assert DATA_KEY == ours.unwrap(wrapped, id)


def test_a_changed_file_is_followed_within_a_second() -> None:
    """What is new is then under its first key; in between the file is left alone."""
    file = File(OLD)
    keys = known(file)
    file.keys = (NEW, OLD)
    file.at = 0.9
    assert (master_key_id(OLD), 1) == (keys.wrap(DATA_KEY)[1], file.reads)
    file.at = 1.0
    assert (master_key_id(NEW), 2) == (keys.wrap(DATA_KEY)[1], file.reads)
    assert (master_key_id(NEW), 2) == (keys.wrap(DATA_KEY)[1], file.reads)


def test_a_file_that_breaks_later_changes_nothing() -> None:
    """Half written or gone, it leaves a running gateway with what it knows."""
    file = File(OLD)
    keys = known(file)
    wrapped, id = keys.wrap(DATA_KEY)
    file.broken = True
    file.at = 5.0
    assert (wrapped, id) == keys.wrap(DATA_KEY)
    assert DATA_KEY == keys.unwrap(wrapped, id)


def test_a_start_without_a_key_fails() -> None:
    """A gateway that could not seal must not take customers' data."""
    with pytest.raises(ValueError, match="no master key"):
        known(File())

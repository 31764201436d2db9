"""The master keys, under which the keys of personal data are wrapped (design, rule 10).

One is current and wraps what is new; older ones only unwrap, until `ota-admin data
rotate-master-key` has wrapped everything anew. A row names its master key by an id that
tells nothing of the key. Keys that come from a file are followed while the gateway runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import structlog
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from services.gateway.domain.failure import StoreUnavailable

FOLLOW_S = 1.0
"""A changed file is noticed within this time by whoever wraps; whoever unwraps looks at need."""

log = structlog.get_logger()


class MasterKeyUnknown(StoreUnavailable):
    """Something is wrapped under a master key that is not among ours."""


def master_key_id(key: bytes) -> str:
    """Return the id of a master key; nothing of the key can be learned from it."""
    return hashlib.blake2b(b"", key=key, digest_size=8, person=b"master key id").hexdigest()


class MasterKeys:
    """Wraps and unwraps data keys.

    *read* returns the keys, the current one first; a ValueError of it later on keeps what
    is known. *monotonic* is a clock in seconds.
    """

    def __init__(
        self, *, read: Callable[[], Sequence[bytes]], monotonic: Callable[[], float]
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._take(read())
        self._read_at = monotonic()

    @property
    def current_id(self) -> str:
        """The id of the key that wraps what is new."""
        self._follow()
        return self._current_id

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all known keys, the current one first."""
        return tuple(self._by_id)

    def wrap(self, data_key: bytes) -> tuple[bytes, str]:
        """Return a data key wrapped under the current master key, and the id of that (RFC 3394)."""
        id = self.current_id
        return aes_key_wrap(self._by_id[id], data_key), id

    def unwrap(self, wrapped: bytes, master_key_id: str) -> bytes:
        """Return a data key in the clear.

        Raises MasterKeyUnknown; cryptography's InvalidUnwrap means corrupted data.
        """
        if master_key_id not in self._by_id:
            self._reread()
        key = self._by_id.get(master_key_id)
        if key is None:
            raise MasterKeyUnknown(
                f"the master key {master_key_id} is not known: is it missing among the old ones?"
            )
        return aes_key_unwrap(key, wrapped)

    def _follow(self) -> None:
        if self._monotonic() - self._read_at >= FOLLOW_S:
            self._reread()

    def _reread(self) -> None:
        self._read_at = self._monotonic()
        try:
            keys = self._read()
        except ValueError as error:
            log.error("gateway.master_keys.unreadable", reason=str(error))
            return
        before = self._current_id
        self._take(keys)
        if self._current_id != before:
            log.info("gateway.master_keys.changed", master_key_id=self._current_id)

    def _take(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("there is no master key")
        self._by_id = {master_key_id(key): key for key in keys}
        self._current_id = master_key_id(keys[0])

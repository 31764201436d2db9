"""Personal data under lock: sealed before they leave the gateway (design, rule 10).

Each order or hold has a data key of its own (AES-256-GCM, the reservation id as
associated data). The data key is stored here only, wrapped under the master key, before
the command that carries the ciphertext is sent. Erasing a person means emptying the key row.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.events.contracts.inventory import Sealed
from libs.kernel.ids import derived_uuid
from services.gateway.app.call import Write
from services.gateway.app.key_writer import KeyWriter
from services.gateway.app.master_keys import MasterKeys
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.records import NewKey, StoredKey

_DATA_KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyReader(Protocol):
    """Finds stored keys."""

    async def stored_keys(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """Return those of the keys that are stored; raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom sealed data are about, for an erasure later."""

    email: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Sealed data in the clear; after an erasure, at *erased_at*, there are none."""

    fields: Mapping[str, str | None]
    erased_at: datetime | None = None


class Sealer:
    """Seals and opens personal data; *random* returns so many random bytes."""

    def __init__(
        self,
        *,
        master_keys: MasterKeys,
        hashes: KeyedHashes,
        writer: KeyWriter,
        reader: KeyReader,
        random: Callable[[int], bytes],
    ) -> None:
        self._master_keys = master_keys
        self._hashes = hashes
        self._writer = writer
        self._reader = reader
        self._random = random

    async def seal(
        self,
        write: Write,
        *,
        reservation_id: str,
        fields: Mapping[str, str | None],
        person: Person | None = None,
    ) -> Sealed:
        """Return *fields* sealed, once their key is stored; raises StoreUnavailable.

        A repeat of the request uses the first one's key. The key's id also depends on
        what was sent, so that a key never is found under another person's hashes.
        """
        key_id = derived_uuid("personal key", write.command_id, write.fingerprint)
        data_key = self._random(_DATA_KEY_BYTES)
        wrapped, master_key_id = self._master_keys.wrap(data_key)
        stored = await self._writer.add(
            NewKey(
                key_id=key_id,
                partner_id=write.call.caller.partner_id,
                reservation_id=reservation_id,
                wrapped=wrapped,
                master_key_id=master_key_id,
                email_hash=self._hashes.email(person.email) if person else None,
                phone_hash=self._hashes.phone(person.phone) if person else None,
            ),
            deadline=write.call.deadline,
        )
        # Erased since the first request: then what is sealed now can't be opened either.
        if stored.wrapped is not None and stored.wrapped != wrapped:
            data_key = self._master_keys.unwrap(stored.wrapped, stored.master_key_id)
        nonce = self._random(_NONCE_BYTES)
        plain = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = nonce + AESGCM(data_key).encrypt(nonce, plain, reservation_id.encode())
        return Sealed(key_id=key_id, ciphertext=base64.b64encode(sealed).decode())

    async def open(self, sealed: Sequence[tuple[Sealed, str]]) -> list[Opened]:
        """Return what was sealed, for pairs of ciphertext and reservation id.

        Raises StoreUnavailable, also for a master key that is not known; cryptography's
        InvalidTag or InvalidUnwrap mean corrupted data.
        """
        keys = await self._reader.stored_keys([each.key_id for each, _ in sealed])
        return [self._open(each, reservation_id, keys) for each, reservation_id in sealed]

    def _open(self, sealed: Sealed, reservation_id: str, keys: Mapping[str, StoredKey]) -> Opened:
        key = keys.get(sealed.key_id)
        if key is None or key.wrapped is None:
            return Opened(fields={}, erased_at=key.erased_at if key else None)
        raw = base64.b64decode(sealed.ciphertext)
        data_key = self._master_keys.unwrap(key.wrapped, key.master_key_id)
        plain = AESGCM(data_key).decrypt(
            raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], reservation_id.encode()
        )
        return Opened(fields=json.loads(plain))

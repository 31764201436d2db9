"""The comparison: the same reserve as it is usually written, one handler and one transaction.

Idempotency record, lock of the stock row, hold, idempotency record, new stock, commit. Written
as well as that design allows: prepared statements, a warm pool, keys for every look-up, nothing
durable left out. Prints its port on standard output and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta

import asyncpg
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = "/reserve"
DSN_VARIABLE, KEY_VARIABLE = "USUAL_WAY_DSN", "USUAL_WAY_KEY"
POOL_SIZE = 32
"""More backends would only queue at the row's lock."""
UNITS = 1_000_000_000
PRODUCTS = (900, 901, 902, 903)
PARTNER = "bench_partner"
HOLD = timedelta(hours=24)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

SCHEMA = f"""
    DROP SCHEMA IF EXISTS usual_way CASCADE;
    CREATE SCHEMA usual_way;
    CREATE TABLE usual_way.stock (
        product_id integer PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0),
        adult_price integer NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE usual_way.hold (
        reservation_id text PRIMARY KEY, product_id integer NOT NULL, partner_id text NOT NULL,
        quantity integer NOT NULL, status text NOT NULL, price integer NOT NULL,
        held_at timestamptz NOT NULL, expires_at timestamptz NOT NULL
    );
    CREATE INDEX hold_due ON usual_way.hold (expires_at) WHERE status = 'held';
    CREATE TABLE usual_way.idempotency (
        partner_id text NOT NULL, key text NOT NULL, fingerprint text NOT NULL,
        status smallint NOT NULL, answer text NOT NULL, PRIMARY KEY (partner_id, key)
    );
    INSERT INTO usual_way.stock SELECT unnest(ARRAY{list(PRODUCTS)}), {UNITS}, 288;
"""
SEEN = """
    SELECT fingerprint, status, answer FROM usual_way.idempotency
     WHERE partner_id = $1 AND key = $2"""
LOCK = "SELECT available, adult_price FROM usual_way.stock WHERE product_id = $1 FOR UPDATE"
HELD = "INSERT INTO usual_way.hold VALUES ($1, $2, $3, $4, 'held', $5, $6, $7)"
RECORD = "INSERT INTO usual_way.idempotency VALUES ($1, $2, $3, $4, $5)"
TAKE = "UPDATE usual_way.stock SET available = available - $2 WHERE product_id = $1"


class Body(BaseModel):
    """What a reserve asks for."""

    model_config = ConfigDict(strict=True)
    product_id: int
    quantity: int = Field(ge=1, le=100)


class Reserving:
    """The one handler."""

    def __init__(self, *, pool: asyncpg.Pool, api_key: str) -> None:
        self._pool = pool
        self._partners = {api_key: PARTNER}

    async def reserve(self, request: web.Request) -> web.Response:
        """Hold units, or say why not."""
        partner = self._partners.get(request.headers.get("X-API-Key", ""))
        if partner is None:
            return _answer(401, '{"code": "INVALID_API_KEY"}')
        raw = await request.read()
        try:
            body = Body.model_validate_json(raw)
        except ValidationError:
            return _answer(422, '{"code": "VALIDATION_ERROR"}')
        key = request.headers.get("Idempotency-Key") or secrets.token_hex(16)
        try:
            return await self._hold(partner, key, body, fingerprint=raw.decode())
        except asyncpg.UniqueViolationError:
            return _answer(409, '{"code": "IDEMPOTENCY_IN_PROGRESS"}')

    async def _hold(self, partner: str, key: str, body: Body, *, fingerprint: str) -> web.Response:
        async with self._pool.acquire() as database, database.transaction():
            seen = await database.fetchrow(SEEN, partner, key)
            if seen is not None:
                if seen[0] != fingerprint:
                    return _answer(422, '{"code": "IDEMPOTENCY_KEY_REUSED"}')
                return _answer(seen[1], seen[2])
            stock = await database.fetchrow(LOCK, body.product_id)
            if stock is None:
                return _answer(404, '{"code": "PRODUCT_NOT_FOUND"}')
            now = datetime.now(UTC)
            status, text = 409, '{"code": "SOLD_OUT"}'
            if stock[0] >= body.quantity:
                id = _new_id()
                times = (now, now + HOLD)
                hold = (id, body.product_id, partner, body.quantity, stock[1], *times)
                await database.execute(HELD, *hold)
                await database.execute(TAKE, body.product_id, body.quantity)
                status, text = 201, _text(id, body, price=stock[1], expires_at=times[1])
            await database.execute(RECORD, partner, key, fingerprint, status, text)
        return _answer(status, text)


def _text(id: str, body: Body, *, price: int, expires_at: datetime) -> str:
    return json.dumps(
        {
            "reservation_id": id,
            "product_id": body.product_id,
            "quantity": body.quantity,
            "expires_at": expires_at.isoformat(),
            "unit_price": price,
        }
    )


def _new_id() -> str:
    number = secrets.randbits(125)
    return "res_0" + "".join(ALPHABET[number >> 5 * place & 31] for place in range(25))


def _answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json")


async def _serve() -> None:
    dsn = os.environ[DSN_VARIABLE]
    database = await asyncpg.connect(dsn)
    await database.execute(SCHEMA)
    await database.close()
    pool = await asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    application = web.Application()
    handlers = Reserving(pool=pool, api_key=os.environ[KEY_VARIABLE])
    application.router.add_post(PATH, handlers.reserve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())

"""A restore to a moment between two sales, with the commands of a person, and then the books."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from dotenv import dotenv_values

from deploy.local.credentials import dsns
from deploy.local.ports import free_ports
from deploy.local.settings import CHECKOUT, SERVICES
from tests.support.agency import FULL_KEY
from tests.support.ledger import DECIDING, read_books, settled, violations

pytestmark = pytest.mark.e2e

COMMAND_TIMEOUT_S = 240
CUSTOMER = {
    "customer_details": {"name": "陳大文", "email": "man@example.com", "phone": "+852 9123 4567"},
    "payment_reference": "PAY-1",
}
PORTS = (
    *("OTA_POSTGRES_PORT", "OTA_KAFKA_PORT", "OTA_KAFKA_CONTROLLER_PORT", "OTA_PARTNER_PORT"),
    *(f"OTA_{name.upper()}_OPS_PORT" for name in SERVICES),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a partner got."""

    status: int
    body: dict[str, Any]
    position: str


@dataclass(frozen=True, slots=True)
class Own:
    """A stack of this test's own, in one folder or another, with the commands of a person."""

    environment: Mapping[str, str]

    def run(self, *words: str, data: Path) -> str:
        """Run a command on the stack of a folder; raises AssertionError with its words."""
        ended = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=CHECKOUT,
            env={**self.environment, "OTA_DATA_DIR": str(data)},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def call(
        self, method: str, path: str, *, body: object = None, key: str = "", position: str = ""
    ) -> Answer:
        """Call as a partner."""
        headers = {"X-API-Key": FULL_KEY, "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"OTA-Position": position} if position else {}
        url = f"http://127.0.0.1:{self.environment['OTA_PARTNER_PORT']}/api/ota{path}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as found:
                status, text, told = found.status, found.read(), found.headers
        except urllib.error.HTTPError as refused:
            status, text, told = refused.code, refused.read(), refused.headers
        return Answer(status, json.loads(text), told.get("OTA-Position", ""))

    def sell(self, quantity: int, *, key: str) -> tuple[Answer, Answer]:
        """Reserve and activate."""
        held = self.call(
            "POST", "/reserve", body={"product_id": 106, "quantity": quantity}, key=key
        )
        assert held.status == 201, held
        path = f"/reservations/{held.body['reservation_id']}/activate"
        return held, self.call("POST", path, body=CUSTOMER, key=key)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    """Give the commands; whatever they started is stopped and deleted at the end."""
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("OTA_")},
        **{name: str(port) for name, port in zip(PORTS, free_ports(count=8), strict=True)},
        "OTA_MONITORING": "0",
    }
    given = Own(environment)
    try:
        yield given
    finally:
        for folder in ("first", "second"):
            given.run("deploy.local", "clean", data=tmp_path / folder)


async def test_the_first_sale_is_there_and_the_second_can_be_made_again(
    own: Own, tmp_path: Path
) -> None:
    """What was sold before the moment stays; after it, keys, positions and numbers do no harm."""
    first, second = tmp_path / "first", tmp_path / "second"
    own.run("deploy.local", "up", data=first)
    own.run("deploy.backup", "backup", data=first)
    kept, kept_order = own.sell(3, key="kept")
    at = datetime.now(UTC)
    lost, lost_order = own.sell(4, key="lost")
    own.run("deploy.backup", "restore", "--to", str(second), "--at", at.isoformat(), data=first)
    own.run("deploy.local", "down", data=first)
    own.run("deploy.local", "up", data=second)

    orders = own.call("GET", "/orders", position=lost_order.position)
    assert [kept_order.body["order_id"]] == [each["order_id"] for each in orders.body["orders"]]
    tickets = own.call("GET", f"/orders/{kept_order.body['order_id']}/tickets")
    sold = [ticket["qr_token"] for ticket in kept_order.body["tickets"]]
    assert sold == [ticket["qr_token"] for ticket in tickets.body["tickets"]]
    reservation = f"/reservations/{lost.body['reservation_id']}"
    assert 404 == own.call("GET", reservation, position=lost.position).status
    assert 1997 == available(own, position=lost_order.position)

    again, order_again = own.sell(4, key="lost")
    assert lost.body["reservation_id"] == again.body["reservation_id"]
    assert 201 == order_again.status
    seen = {lost_order.body["order_id"], kept_order.body["order_id"]}
    assert order_again.body["order_id"] not in seen
    codes = {ticket["ticket_code"] for ticket in lost_order.body["tickets"]}
    assert codes.isdisjoint(ticket["ticket_code"] for ticket in order_again.body["tickets"])
    assert 1993 == available(own, position=order_again.position)
    repeated = own.call("POST", "/reserve", body={"product_id": 106, "quantity": 3}, key="kept")
    assert kept.body["reservation_id"] == repeated.body["reservation_id"]

    secrets = {name: text or "" for name, text in dotenv_values(second / "secrets.env").items()}
    server = f"127.0.0.1:{own.environment['OTA_POSTGRES_PORT']}"
    found = dsns(secrets_by_name=secrets, server=server)
    await settled(found)
    assert [] == violations(await read_books(found))
    assert {2} == {number for name in DECIDING for number in await generations(found[dsn(name)])}


def available(own: Own, *, position: str) -> int:
    """Return what is left of the product."""
    answer = own.call("GET", "/inventory?product_ids=106", position=position)
    assert 200 == answer.status, answer
    return int(answer.body["available_quantities"]["106"])


def dsn(service: str) -> str:
    """Return the variable of a service's own address."""
    return f"OTA_{service.upper()}_DSN"


async def generations(address: str) -> list[int]:
    """Return the generation of each partition that was served."""
    connection = await asyncpg.connect(address)
    try:
        rows = await connection.fetch("SELECT generation FROM partition_head")
    finally:
        await connection.close()
    return [row["generation"] for row in rows]

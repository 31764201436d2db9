"""Receipts through the whole system: the same after every crash, checked, anchored."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ota_client import Customer, OtaClient, ReceiptCheck
from tests.support.agency import FULL_KEY, PROD_KEY, Agency
from tests.support.deciders import Deciders, ops_page
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

CUSTOMER = Customer(name="陳大文", email="tai.man@example.com", phone="+852 9123 4567")
KEYS = {"inventory": "receipt-hold", "fulfillment": "receipt-order"}


async def test_a_receipt_outlives_everybody_who_made_it(deciders: Deciders, agency: Agency) -> None:
    """After kill -9 of all services a repeat has the same one; it is proven, and nobody else's."""
    url = deciders.processes["gateway"].url
    async with OtaClient(url, FULL_KEY) as ota:
        hold = await ota.reserve(106, 1, idempotency_key=KEYS["inventory"])
        order = await ota.activate(
            hold.reservation_id,
            CUSTOMER,
            payment_reference="PAY-1",
            idempotency_key=KEYS["fulfillment"],
        )
        for name in ("inventory", "reservation", "fulfillment"):
            deciders.kill(name)
            await deciders.restart(name)
        again = await ota.reserve(106, 1, idempotency_key=KEYS["inventory"])
        assert (hold.receipt, 86) == (again.receipt, len(again.receipt or ""))
        ordered_again = await ota.activate(
            hold.reservation_id,
            CUSTOMER,
            payment_reference="PAY-1",
            idempotency_key=KEYS["fulfillment"],
        )
        assert order.receipt == ordered_again.receipt
        for receipt, service in ((hold.receipt, "inventory"), (order.receipt, "fulfillment")):
            assert receipt is not None
            found = await ota.check_receipt(receipt)
            assert ("recorded", True, service) == (found.status, found.proven, found.service)
            assert hold.reservation_id == found.subject
            stranger = agency.with_key(PROD_KEY)
            refused = await stranger.call("GET", f"/receipts/{receipt}")
            assert (404, "NOT_FOUND") == refused.word


async def test_an_owner_anchors_what_it_finds_with_the_key_that_it_shows(
    deciders: Deciders, agency: Agency
) -> None:
    """The signature verifies with the public key of the service's ops port."""
    answer = await agency.reserve(106, 1)
    receipt = answer.headers["OTA-Receipt"]
    deciders.kill("inventory")
    await deciders.restart("inventory")
    url = deciders.processes["gateway"].url
    async with OtaClient(url, FULL_KEY) as ota:

        async def anchored() -> ReceiptCheck | None:
            found = await ota.check_receipt(receipt)
            return found if found.anchored is not None else None

        found = await eventually(anchored, what="the anchor")
    assert found is not None
    anchor = found.anchored
    assert anchor is not None
    shown = await ops_page(deciders.processes["inventory"], "/anchor-keys")
    assert f'"{anchor.public_key}"' in shown
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(anchor.public_key or ""))
    signature = base64.urlsafe_b64decode(anchor.signature + "==")
    key.verify(signature, anchor.signed.encode())
    lines = ["ota-anchor-v1", "inventory", anchor.position, anchor.hash]
    assert lines == anchor.signed.splitlines()[:4]


async def test_a_cancellation_has_a_receipt_and_a_refusal_has_none(agency: Agency) -> None:
    """Also the second cancellation, of the event of the first; nothing was recorded for others."""
    held = (await agency.reserve(106, 1)).json["reservation_id"]
    first, second = [await agency.call("DELETE", f"/reservations/{held}") for _ in range(2)]
    assert [204, 204] == [first.status, second.status]
    assert first.headers["OTA-Receipt"] == second.headers["OTA-Receipt"]
    refused = await agency.call(
        "POST",
        f"/reservations/{held}/activate",
        {
            "customer_details": {"name": "A", "email": "a@example.com", "phone": "1234567"},
            "payment_reference": "P",
        },
    )
    assert (409, False) == (refused.status, "OTA-Receipt" in refused.headers)

"""The story's first half: from stock to a sold ticket that a scanner accepts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Sequence

import aiohttp

from deploy.demo.checks import StoryBroken
from deploy.demo.partner import first, refused
from deploy.demo.prices import CURRENCY, expected_lines, expected_total
from deploy.demo.story import PRODUCT, Step, Story
from deploy.demo.tickets import UnreadableImage, png_of, read_qr, save
from libs.tickets.token import TokenRefusal, verify
from ota_client import Customer, Reservation, Ticket

UNITS = 2
CUSTOMER_TYPES = ["adult", "child"]
CUSTOMER = Customer(name="陳大文", email="tai.man.chan@example.com", phone="+852 9123 4567")
TICKET_PREFIX = "CRUISE-2025-FERRY"
ENTITLEMENTS = {"ferry": 1, "monchhichi_gift": 1, "playground_tokens": 10}
UNITS_NEEDED = 7
"""What the whole story holds at most, with room to spare."""

RESERVATION_ID = re.compile(r"res_[0-9A-HJKMNP-TV-Z]{26}")
ORDER_ID = re.compile(r"ORD-[0-9]{13}")
CONFIRMATION_CODE = re.compile(r"CONF-[2-9A-HJKMNP-Z]{8}")
TICKET_CODE = re.compile(rf"{TICKET_PREFIX}-[0-9]{{13}}")


async def check_inventory(story: Story) -> None:
    """Ask how many units of the product are to be had."""
    partner = story.partner
    inventory = await partner.ota.inventory(PRODUCT)
    story.checks.need("the inventory answers 200", expected=200, actual=partner.last.status)
    story.checks.equal(
        "adult prices are 288 on weekdays and 318 at weekends",
        expected={"weekday": 288, "weekend": 318},
        actual=inventory.pricing_context.get("base_prices", {}).get(str(PRODUCT)),
    )
    story.available = inventory.available(PRODUCT)
    if story.available < UNITS_NEEDED:
        raise StoryBroken(
            f"only {story.available} units of {PRODUCT} are left; `make reset` starts afresh"
        )


def _reserve(story: Story, quantity: int) -> Awaitable[Reservation]:
    """Hold units under one and the same key, whatever the quantity."""
    return story.partner.ota.reserve(
        PRODUCT, quantity, visit_date=story.visit_date, idempotency_key=story.key("reserve")
    )


async def reserve(story: Story) -> None:
    """Hold two units."""
    hold = await _reserve(story, UNITS)
    answer = story.partner.last
    story.checks.need("the reservation is made (201)", expected=201, actual=answer.status)
    story.sold = hold.reservation_id
    story.reserve_body = answer.body
    story.checks.true(
        "its id is res_ and 26 characters",
        passed=RESERVATION_ID.fullmatch(story.sold) is not None,
        otherwise=story.sold,
    )
    story.checks.equal(
        "the frozen prices are adult 288, child and elderly 188",
        expected={"adult": 288, "child": 188, "elderly": 188},
        actual={kind: price.unit_price for kind, price in hold.prices.unit_prices.items()},
    )
    story.checks.equal(
        f"{UNITS} units fewer are available, at once",
        expected=story.available - UNITS,
        actual=await story.partner.available(PRODUCT),
    )


async def repeat(story: Story) -> None:
    """Send the same request again, as after a lost answer."""
    await _reserve(story, UNITS)
    answer = story.partner.last
    story.checks.equal("the status is 201 again", expected=201, actual=answer.status)
    story.checks.true(
        f"the body has the same {len(story.reserve_body)} bytes",
        passed=answer.body == story.reserve_body,
    )
    story.checks.equal(
        "it says Idempotent-Replayed: true",
        expected="true",
        actual=answer.headers.get("Idempotent-Replayed"),
    )
    story.checks.equal(
        "the stock has moved once, not twice",
        expected=story.available - UNITS,
        actual=await story.partner.available(PRODUCT),
    )


async def reuse_key(story: Story) -> None:
    """Use the key for something else, as a faulty client would."""
    refusal = await refused(_reserve(story, UNITS + 1))
    story.checks.equal(
        "refused: 422 IDEMPOTENCY_KEY_REUSED",
        expected=(422, "IDEMPOTENCY_KEY_REUSED"),
        actual=(refusal.status, refusal.code),
    )


async def activate(story: Story) -> None:
    """Turn the hold into an order."""
    order = await story.partner.ota.activate(
        story.sold,
        CUSTOMER,
        payment_reference=f"DEMO-{story.run.upper()}",
        customer_types=CUSTOMER_TYPES,
        visit_date=story.visit_date,
        idempotency_key=story.key("activate"),
    )
    checks = story.checks
    checks.need("the order is made (201)", expected=201, actual=story.partner.last.status)
    story.order_id = order.order_id
    story.tickets = order.tickets
    total = expected_total(customer_types=CUSTOMER_TYPES, visit_date=story.visit_date)
    checks.equal(
        f"an adult and a child on {story.visit_date:%A %Y-%m-%d} cost {CURRENCY} {total}",
        expected=(total, CURRENCY),
        actual=(order.total_amount, order.currency),
    )
    checks.equal(
        "the breakdown says so line by line",
        expected=expected_lines(customer_types=CUSTOMER_TYPES, visit_date=story.visit_date),
        actual={line.customer_type: (line.count, line.subtotal) for line in order.price_breakdown},
    )
    checks.equal("the order is confirmed", expected="confirmed", actual=order.status)
    checks.true(
        "order id and confirmation code have their forms",
        passed=ORDER_ID.fullmatch(order.order_id) is not None
        and CONFIRMATION_CODE.fullmatch(order.confirmation_code) is not None,
        otherwise=f"{order.order_id}, {order.confirmation_code}",
    )
    _check_tickets(story)
    checks.equal(
        "held became sold: the available units are as before",
        expected=story.available - UNITS,
        actual=await story.partner.available(PRODUCT),
    )


def _check_tickets(story: Story) -> None:
    story.checks.equal(
        "there is a ticket for each unit, one adult, one child",
        expected=Counter(CUSTOMER_TYPES),
        actual=Counter(ticket.customer_type for ticket in story.tickets),
    )
    codes = [ticket.ticket_code for ticket in story.tickets]
    story.checks.true(
        f"ticket codes are {TICKET_PREFIX}- and 13 digits, each another",
        passed=all(map(TICKET_CODE.fullmatch, codes)) and len(set(codes)) == len(codes),
        otherwise=", ".join(codes),
    )
    story.checks.equal(
        "each is worth a ferry ride, a gift and ten playground tokens",
        expected=[ENTITLEMENTS] * UNITS,
        actual=[
            {use.function_code: use.remaining_uses for use in ticket.entitlements}
            for ticket in story.tickets
        ],
    )


async def read_order(story: Story) -> None:
    """Find the order again, as a back office would."""
    ota = story.partner.ota
    # The walk is newest first, and ends here with the first of its pages.
    newest = [order.order_id async for order in first(ota.orders(page_size=5), 5)]
    story.checks.true(
        "the list of orders has ours among the newest",
        passed=story.order_id in newest,
        otherwise=", ".join(newest) or "it is empty",
    )
    order = await ota.order(story.order_id)
    story.checks.equal(
        "the customer's name came through, script and all",
        expected=(200, CUSTOMER.name),
        actual=(story.partner.last.status, order.customer_name),
    )
    story.checks.equal(
        "reservation, units and total are the order's",
        expected=(
            story.sold,
            UNITS,
            expected_total(customer_types=CUSTOMER_TYPES, visit_date=story.visit_date),
        ),
        actual=(order.reservation_id, order.quantity, order.total_amount),
    )
    tickets = [ticket async for ticket in ota.tickets(story.order_id)]
    story.checks.equal(
        "its tickets carry the same codes and tokens as at the sale",
        expected=_codes_and_tokens(story.tickets),
        actual=_codes_and_tokens(tickets),
    )


def _codes_and_tokens(tickets: Sequence[Ticket]) -> list[tuple[str, str]]:
    return sorted((ticket.ticket_code, ticket.qr_token) for ticket in tickets)


async def scan_ticket(story: Story) -> None:
    """Read the first ticket's QR image and check the token in it without the platform."""
    ticket = story.tickets[0]
    try:
        png = png_of(ticket.qr_code or "")
        path = save(png, folder=story.stack.data_dir / "demo", name=ticket.ticket_code)
        text = read_qr(png)
    except UnreadableImage as error:
        story.checks.true("the QR image can be read", passed=False, otherwise=str(error))
        return
    story.screen.note(f"saved as {path}: show it to the camera of your phone")
    story.screen.note(f"zxing-cpp reads: {text}")
    story.checks.equal(
        "an independent reader finds the ticket's token in the image",
        expected=ticket.qr_token,
        actual=text,
    )
    keys = await _ticket_keys(story)
    story.screen.note(f"public keys: {', '.join(keys) or 'none'}")
    claims = verify(text, keys)
    if isinstance(claims, TokenRefusal):
        story.checks.true("its signature verifies offline", passed=False, otherwise=claims.reason)
        return
    story.screen.note(
        f"the token says: ticket {claims.ticket_number:013d}, product {claims.product_id}, "
        f"{claims.customer_type}, {claims.visit_date} ({claims.day_class}); nothing about a person"
    )
    story.checks.equal(
        "its signature verifies offline, and it says what was bought",
        expected=(ticket.ticket_code, PRODUCT, story.visit_date, ticket.customer_type),
        actual=(
            claims.ticket_code(prefix=TICKET_PREFIX),
            claims.product_id,
            claims.visit_date,
            claims.customer_type,
        ),
    )
    forged = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    story.checks.true(
        "with one character changed it is refused",
        passed=isinstance(verify(forged, keys), TokenRefusal),
    )


async def _ticket_keys(story: Story) -> dict[str, bytes]:
    """Return the public keys that the fulfillment service publishes on its ops port."""
    url = story.stack.ticket_keys_url
    try:
        async with story.http.get(url) as response:
            document = await response.json()
        return {row["key_id"]: bytes.fromhex(row["public_key"]) for row in document["keys"]}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise StoryBroken(f"{url} gives no public keys: {error}") from error


STEPS = (
    Step(
        "How many are there?",
        "A travel agency asks for the stock of the Premium Plan in its own channel; figures come"
        " from the gateway's memory and carry the prices with them.",
        check_inventory,
    ),
    Step(
        "Hold two units",
        "The ledger takes two units out of the pool before it answers and freezes the prices. The"
        " Idempotency-Key makes the request safe to repeat.",
        reserve,
    ),
    Step(
        "The answer got lost: the same request again",
        "With the same key and body the first answer comes again, byte for byte, and nothing is"
        " held twice.",
        repeat,
    ),
    Step(
        "The same key for another request",
        "A key belongs to one request for good; a client that mixes them up is told so instead of"
        " getting a wrong reservation.",
        reuse_key,
    ),
    Step(
        "The customer pays: activate",
        "The hold becomes an order with one signed ticket a unit. The customer's data is sealed at"
        " the gateway and never stands in an event log in the clear.",
        activate,
    ),
    Step(
        "The order in the books",
        "Lists, orders and tickets are read from views that are at least as new as the answer just"
        " given.",
        read_order,
    ),
    Step(
        "At the pier: scan the ticket offline",
        "The QR image is decoded by another library than the one that drew it, and its Ed25519"
        " signature is verified with nothing but the published public key.",
        scan_ticket,
    ),
)

"""The console in a real Chromium, on the four real processes.

With OTA_PICTURES=<folder> the pages are also saved as pictures (docs/console has them).
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from PIL import Image

from libs.events.kafka.publisher import producer
from libs.events.topics import INVENTORY_COMMANDS
from tests.support.admin import admin, run_admin
from tests.support.agency import PROD_KEY, TEST_KEY, Agency
from tests.support.browser import Page, find_browser, open_page
from tests.support.deciders import Deciders
from tests.support.stack import ServiceProcess
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium (make test gets it on Debian)"),
]

CUSTOMER = {"name": "Canary Wan Ying", "email": "canary@example.com", "phone": "+852 5550 1234"}
ACTIVATION = {"customer_details": CUSTOMER, "payment_reference": "PAY-CANARY"}
DESKTOP, PHONE = (1360, 900), (390, 844)
DRAWN = """(() => {
  const canvas = document.querySelector("#plot canvas");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4)
    if (data[i] === 0x2c && data[i + 1] === 0x7a && data[i + 2] === 0x4b) return true;
  return false;
})()"""
"""Whether anything on the first plot has the colour of its line."""
FITS = """[...document.querySelectorAll('#plot figure')].every(
  (box) => box.querySelector('.uplot').offsetWidth <= box.clientWidth)"""
COUNT_KEPT_BACK = """window.keptBack = 0;
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  if (event.defaultPrevented && event.target.id === "body-stock") window.keptBack += 1;
})"""
CLICK_REPLAY = """new MutationObserver((_, observer) => {
  const rows = [...document.querySelectorAll("#body-letters tr")];
  const row = rows.find(each => each.textContent.includes("POISON"));
  const button = row?.querySelector("[id^=replay-]");
  if (button) { observer.disconnect(); button.click(); }
}).observe(document.getElementById("body-letters"), {childList: true})"""
"""Clicks on a letter's button in the moment in which the panel with it is there."""
LETTERS_TIMEOUT_S = 60.0
"""Letters are read every three seconds, and more seldom where reading is slow."""
PAGES = (
    *("", "/holds", "/events", "/partners", "/dead-letters", "/services", "/alerts"),
    *("/runbook/alerts", "/runbook/procedures"),
)


@pytest.fixture(scope="module")
async def gateway(platform: Deciders) -> AsyncIterator[ServiceProcess]:
    """A gateway whose console knows the other services' ops ports."""
    others = ",".join(
        f"{name}={process.ops_url}"
        for name, process in platform.processes.items()
        if name != "gateway"
    )
    process = platform.stack.service(
        "gateway", env={"OTA_GATEWAY_INSTANCE": "1", "OTA_CONSOLE_SERVICES": others}
    )
    process.start()
    await asyncio.to_thread(process.wait_ready)
    yield process
    await asyncio.to_thread(process.stop)


@pytest.fixture
async def page(deciders: Deciders, gateway: ServiceProcess) -> AsyncIterator[Page]:
    """A browser in which wing.lam, an operator, has signed in by a link."""
    env = {**deciders.env, "OTA_CONSOLE_PUBLIC_URL": gateway.ops_url}
    words = ("operator", "code", "wing.lam", "--add", "operator")
    link = (await asyncio.to_thread(admin, env, *words)).strip()
    async with open_page() as page:
        await page.size(*DESKTOP)
        await page.prefer("light")
        await page.open(link)
        await page.follow("document.querySelector('.sign-in button').click()")
        await page.sees("Overview", within="h1")
        yield page
        assert [] == page.faults
        assert [] == [
            url for url in page.requests if not url.startswith((gateway.ops_url, "data:"))
        ]


async def picture(page: Page, name: str) -> None:
    """Save what is shown, if pictures are wanted."""
    if folder := os.environ.get("OTA_PICTURES"):
        file = Path(folder) / f"{name}.png"
        await page.picture(file)
        # A page has few colours: as a palette it takes a third of the bytes.
        with Image.open(file) as taken:
            taken.convert("RGB").quantize(96).save(file, optimize=True)


async def sold(agency: Agency, units: int) -> tuple[str, dict[str, Any]]:
    """Reserve units of product 106, activate, and return reservation and order."""
    held = (await agency.reserve(106, units)).json["reservation_id"]
    order = await agency.call("POST", f"/reservations/{held}/activate", ACTIVATION)
    assert 201 == order.status
    return held, order.json


async def test_stock_moves_while_one_looks(page: Page, agency: Agency) -> None:
    """Without loading the page again: figures, the bar, and the plot."""
    for product, units, key in ((107, 12, TEST_KEY), (108, 9, PROD_KEY), (106, 31, TEST_KEY)):
        assert 201 == (await agency.with_key(key).reserve(product, units)).status
    await sold(agency, 40)
    before = await agency.available(106)
    await page.sees("live", within="#live")
    await page.sees(f"{before}", within="tr[data-pool-name='106 ota']")
    # What is pressed stays where it is until it is let go: a click needs both on one element.
    await page.run(COUNT_KEPT_BACK)
    await page.mouse("mousePressed", at="tr[data-pool-name='106 ota']")
    assert 201 == (await agency.reserve(106, 7)).status
    await eventually(lambda: page.run("window.keptBack > 0"), what="what was kept back")
    await page.sees(f"{before}", within="tr[data-pool-name='106 ota']")
    await page.mouse("mouseReleased", at="tr[data-pool-name='106 ota']")
    await page.sees(f"{before - 7}", within="tr[data-pool-name='106 ota']")
    await eventually(lambda: page.run("document.querySelectorAll('#plot canvas').length === 3"))
    await eventually(lambda: page.run(DRAWN), what="a line on the plot")
    await page.run(
        "const s = document.getElementById('plot-pool');"
        " s.value = [...s.options].find(o => o.text === '106 ota').value;"
        " s.dispatchEvent(new Event('change'))"
    )
    held = "document.querySelector(\"tr[data-pool-name='106 ota'] td[data-label=Held]\").innerText"
    await page.sees(str(await page.run(held)), within="#plot figure:nth-child(2)")
    await page.size(1360, 1500)
    await picture(page, "overview-light")
    await page.prefer("dark")
    assert await ground(page) < 60
    # Drawn anew in other colours, each plot is as wide as its third of the page.
    await eventually(lambda: page.run(FITS), what="plots that fit")
    await picture(page, "overview-dark")
    await page.press("t")
    assert await ground(page) > 200
    await page.press("t")
    await page.open(await page.run("location.href"))
    assert await ground(page) < 60


async def ground(page: Page) -> int:
    """Return how light the page's ground is, 0 to 255."""
    colour = await page.run("getComputedStyle(document.body).backgroundColor")
    return int(str(colour).removeprefix("rgb(").split(",")[0])


async def test_one_reservation_s_whole_story(page: Page, agency: Agency) -> None:
    """Found by its order, its ticket, its request; calls and events, nobody's name."""
    held, order = await sold(agency, 2)
    again = await agency.call("POST", f"/reservations/{held}/activate", ACTIVATION)
    assert 409 == again.status
    root = str(await page.run("location.origin"))
    ticket = order["tickets"][0]["ticket_code"]
    for text in (order["order_id"], ticket, order["confirmation_code"], held):
        await page.press("/")
        await page.type(text)
        await page.follow("document.activeElement.form.requestSubmit()")
        await page.sees(held, within="h1")
    for words in (
        *("units held", "reservation activated", "units sold", "order created"),
        *("/api/ota/reserve", "ALREADY_ACTIVATED", order["order_id"], "ota_full_access_partner"),
    ):
        await page.sees(words)
    request = again.headers["X-Request-Id"]
    await page.sees(request)
    await page.open(f"{root}/console/search?q={request}")
    await page.sees(held, within="h1")
    text = str(await page.run("document.documentElement.outerHTML.replaceAll(' ', '')"))
    token = order["tickets"][0]["qr_token"]
    assert not any(
        canary in text for canary in ("anary", "CANARY", "55501234", "example.com", token)
    )
    await picture(page, "story")


async def test_everything_can_be_reached_by_keys(page: Page) -> None:
    """First the way past the head, then letters that go to pages; `?` lists them."""
    await page.press("Tab")
    assert "Skip to the content" == await page.run("document.activeElement.textContent")
    outline = await page.run("getComputedStyle(document.activeElement).outlineStyle")
    assert "solid" == outline
    await page.press("Enter")
    assert "main" == await page.run("document.activeElement.id")
    await page.press("?")
    assert await page.run("document.getElementById('keys').open")
    await page.press("Escape")
    await eventually(lambda: page.run("!document.getElementById('keys').open"))
    await page.run("window.leftBehind = true")
    await page.press("g")
    await page.press("e")
    await page.arrived()
    await page.sees("Events", within="h1")
    await page.press(".")
    await page.sees("held still", within="#live")


async def test_the_runbook_is_two_keys_away(page: Page, gateway: ServiceProcess) -> None:
    """An alert's address leads to its procedure, which is in sight at once."""
    await page.press("g")
    await page.press("r")
    await page.arrived()
    await page.sees("First look", within="article")
    await page.open(f"{gateway.ops_url}/console/runbook/alerts#databaseslow")
    top = "document.getElementById('databaseslow').getBoundingClientRect().top"
    await eventually(lambda: page.run(f"0 <= {top} && {top} < innerHeight / 2"))
    await picture(page, "runbook")


async def test_nothing_scrolls_sideways_on_a_phone(
    page: Page, agency: Agency, gateway: ServiceProcess
) -> None:
    """Every page fits into 390 points, and says what each figure is."""
    held, _ = await sold(agency, 1)
    await page.size(*PHONE, phone=True)
    for path in (*PAGES, f"/story/{held}", "/search?q=nothing"):
        await page.open(f"{gateway.ops_url}/console{path}")
        widths = await page.run("[document.documentElement.scrollWidth, innerWidth]")
        assert [PHONE[0], PHONE[0]] == widths, path
    # A missing page is told by its status: that is all that the browser may complain about.
    page.faults[:] = [fault for fault in page.faults if "404" not in fault]
    await page.open(f"{gateway.ops_url}/console/story/{held}")
    await picture(page, "story-phone")


async def test_a_dead_letter_is_replayed_after_a_question(
    page: Page, deciders: Deciders, gateway: ServiceProcess
) -> None:
    """Also by a click in the moment in which its button appears: the operator is asked, the
    record is sent again, and who did it stands in the record.
    """
    poison = f"poison-{uuid.uuid4().hex[:8]}"
    await page.open(f"{gateway.ops_url}/console/dead-letters")
    await page.run(CLICK_REPLAY.replace("POISON", poison))
    sender = producer(bootstrap=deciders.stack.broker.bootstrap, client_id="poison")
    await sender.start()
    headers = [("ce_id", poison.encode()), ("ce_type", b"ota.inventory.place_hold")]
    await sender.send_and_wait(INVENTORY_COMMANDS.name, b"{", partition=0, headers=headers)
    await sender.stop()
    outcome = "was sent to ota.inventory.commands.v1 again"
    await page.sees(outcome, within="#said", timeout_s=LETTERS_TIMEOUT_S)
    said = str(await page.run("document.getElementById('said').innerText"))
    letter = said.removeprefix("Letter ").split(" ")[0]  # other tests may have left letters
    (question,) = page.questions
    assert question.startswith(f"Send letter {letter} ")
    # It is poison still, so it came back, above the one that was replayed.
    await page.sees("replayed", within="tr:nth-child(2)", timeout_s=LETTERS_TIMEOUT_S)
    await page.sees(poison, within="tr:nth-child(1) td:nth-child(3)", timeout_s=LETTERS_TIMEOUT_S)
    await picture(page, "dead-letters")
    told = await asyncio.to_thread(admin, deciders.env, "operator", "log", "--json")
    assert '"dead_letter_replayed"' in told
    assert f'"{letter}/{poison}"' in told
    refused = await asyncio.to_thread(
        run_admin, deciders.env, "dead-letter", "replay", letter, "--yes"
    )
    assert (1, True) == (refused.returncode, "replayed before" in refused.stderr)


async def test_the_pages_tell_of_events_partners_and_services(
    page: Page, agency: Agency, gateway: ServiceProcess
) -> None:
    """Filters find what is asked for and nothing else; use and health are those of now."""
    await sold(agency, 3)
    query = "type=ota.inventory.units_sold&product_id=106&partner_id=ota_full_access_partner"
    await page.open(f"{gateway.ops_url}/console/events?{query}")
    await page.sees("units sold", within=".events")
    words = await page.run(
        "[...new Set([...document.querySelectorAll('.events tbody tr')]"
        ".map(row => row.children[1].innerText.replace(/[0-9]+/g, '').trim()))].length"
    )
    assert 1 == words
    await page.open(f"{gateway.ops_url}/console/events")
    await picture(page, "events")
    await page.open(f"{gateway.ops_url}/console/partners")
    await page.sees("ota_full_access_partner")
    await picture(page, "partners")
    await page.open(f"{gateway.ops_url}/console/services")
    await eventually(lambda: page.run("document.querySelectorAll('.card .ready').length === 4"))


async def test_a_viewer_signs_in_with_a_password(
    agency: Agency, deciders: Deciders, gateway: ServiceProcess
) -> None:
    """Kept on the real database; a new password ends the sessions of the old one."""
    words = ("operator", "add", "vera", "--role", "viewer", "--password")
    await asyncio.to_thread(admin, deciders.env, *words, given="correct horse battery\n")
    form = {"name": "vera", "secret": "correct horse battery", "next": "/console/partners"}
    url = f"{gateway.ops_url}/console"
    async with agency.session.post(f"{url}/sign-in", data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
        cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
    async with agency.session.get(f"{url}/partners", headers=cookie) as answer:
        assert (200, True) == (answer.status, "viewer" in await answer.text())
    words = ("operator", "password", "vera")
    await asyncio.to_thread(admin, deciders.env, *words, given="another horse entirely\n")
    async with agency.session.get(f"{url}/partners", headers=cookie) as answer:
        assert 401 == answer.status
    listed = await asyncio.to_thread(admin, deciders.env, "operator", "list", "--json")
    assert '"role": "viewer"' in listed


async def test_who_is_removed_is_out(
    page: Page, deciders: Deciders, gateway: ServiceProcess
) -> None:
    """At the next page; a database that refuses changes keeps the record as it was written."""
    await asyncio.to_thread(admin, deciders.env, "operator", "remove", "wing.lam", "--yes")
    await page.open(f"{gateway.ops_url}/console")
    await page.sees("Sign in")
    page.faults.clear()  # 401, as it should be
    connection = await asyncpg.connect(deciders.env["OTA_GATEWAY_OWNER_DSN"])
    try:
        with pytest.raises(asyncpg.RaiseError, match="not allowed"):
            await connection.execute("DELETE FROM operator_action")
    finally:
        await connection.close()

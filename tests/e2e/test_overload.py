"""More than the ledger can take: what it can is done, the rest is told so, and nobody is misled.

At full size: `python -m tests.campaign.overload`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.http1 import Site
from bench.seed import CATALOGUE_FILE, PARTNERS_FILE
from bench.settings import PARTNER_KEY
from tests.campaign import bounded, overload
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e

THROTTLE = 100
OVERLOAD_S = 6.0
PLAN = overload.Plan(per_s=5 * THROTTLE, overload_s=OVERLOAD_S, before_s=1.0, after_s=1.0)


@pytest.fixture
def slow_ledger(deciders: Deciders) -> Iterator[Deciders]:
    """The platform with an inventory service that decides few commands a second."""
    deciders.kill("inventory")
    slow = deciders.stack.service("inventory", env={"OTA_THROTTLE": str(THROTTLE)})
    deciders.processes["inventory"] = slow
    deciders.start("inventory").wait_ready()
    deciders.stack.run_command("inventory", "load-catalogue", str(CATALOGUE_FILE))
    deciders.stack.run_command("gateway", "load-partners", str(PARTNERS_FILE))
    yield deciders
    deciders.kill("inventory")
    del deciders.processes["inventory"]


async def test_an_overload_is_shed_and_passes(slow_ledger: Deciders) -> None:
    """Whoever is told 503 has no hold, whoever is told 201 has one; then all is as before."""
    gateway = slow_ledger.processes["gateway"]
    assert gateway.partner is not None
    site = Site(host=gateway.partner.host, port=gateway.partner.port, api_key=PARTNER_KEY)
    async with bounded.open_partner(gateway.url) as partner:
        await partner.recovered()
        asked, unanswered = await overload.load(site, PLAN)
        await partner.recovered()
    held = await overload.held_by_key(slow_ledger)
    assert {"lost": 0, "executed": 0} == overload.disagreements(asked, held)
    assert 0 == unanswered
    told = {status: len(keys) for status, keys in asked["hot"].keys.items()}
    assert told[503] > OVERLOAD_S * THROTTLE
    assert told[201] > OVERLOAD_S * THROTTLE / 2
    # At first nobody knows how slow it is.
    assert told.get(504, 0) < OVERLOAD_S * THROTTLE

"""Something behind the gateway is frozen: every endpoint answers in time, and goes on afterwards.

All faults, for longer: `python -m tests.campaign.bounded`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bench.seed import CATALOGUE_FILE, PARTNERS_FILE
from tests.campaign import bounded
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e

FAULT_S = 4.0
FAULTS = [
    pytest.param(fault, id=fault.name)
    for fault in bounded.FAULTS
    if fault.name in {"reservation frozen", "postgres frozen", "kafka frozen"}
]


@pytest.fixture
async def partner(deciders: Deciders) -> AsyncIterator[bounded.Partner]:
    """The benchmark's partner, whose limit is above this load."""
    deciders.stack.run_command("inventory", "load-catalogue", str(CATALOGUE_FILE))
    deciders.stack.run_command("gateway", "load-partners", str(PARTNERS_FILE))
    async with bounded.open_partner(deciders.processes["gateway"].url) as made:
        await made.recovered()
        await made.prepare()
        yield made


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_endpoint_answers_in_time(
    deciders: Deciders, partner: bounded.Partner, fault: bounded.Fault
) -> None:
    """Within two seconds, beside what the machine is late with an answer that needs nothing."""
    seen, _ = await bounded.under(fault, deciders, partner, seconds=FAULT_S)
    bound_s = bounded.PROMISE_S + seen["GET /healthz"].slowest_s
    assert {} == {name: each for name, each in seen.items() if each.slowest_s >= bound_s}
    answered = {word for each in seen.values() for word in each.statuses}
    assert answered <= {"200", "201", "204", "409", "429", "503", "504"}
    assert {"503", "504"} & answered

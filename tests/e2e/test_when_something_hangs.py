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
HANGS_S = 5.0
"""Far above the promise: other work on the machine must not fail a test."""
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
    """Nothing hangs. The promise itself, two seconds, is the campaign's to measure."""
    seen, _ = await bounded.under(fault, deciders, partner, seconds=FAULT_S)
    assert {} == {name: each for name, each in seen.items() if each.slowest_s >= HANGS_S}
    answered = {word for each in seen.values() for word in each.statuses}
    assert answered <= {"200", "201", "204", "409", "429", "503", "504"}
    assert {"503", "504"} & answered

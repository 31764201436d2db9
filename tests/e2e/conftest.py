"""The four processes on fresh data, and a partner that calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.settings import CHECKOUT
from tests.support.agency import FULL_KEY, Agency, open_agency
from tests.support.deciders import Deciders

PARTNERS = str(CHECKOUT / "deploy" / "seed" / "partners.toml")


@pytest.fixture(scope="module")
def platform(all_deciders: Deciders) -> Iterator[Deciders]:
    """All four processes with the development catalogue and partners, nothing sold."""
    all_deciders.fresh(partners=PARTNERS)
    yield all_deciders
    all_deciders.kill("gateway")
    del all_deciders.processes["gateway"]


@pytest.fixture
def deciders(platform: Deciders) -> Deciders:
    """The four processes, all of them serving."""
    platform.ensure()
    platform.start("gateway").wait_ready()
    return platform


@pytest.fixture
async def agency(deciders: Deciders) -> AsyncIterator[Agency]:
    """A partner with all permissions."""
    url = deciders.processes["gateway"].url
    async with open_agency(url=url, api_key=FULL_KEY) as made:
        yield made

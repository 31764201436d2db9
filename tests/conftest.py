"""Fixtures of all tests: the servers of the session and the deciding services on them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from deploy.local.processes import tail
from tests.support.deciders import Deciders
from tests.support.stack import Stack, running_stack

LOG_LINES = 30


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The session's servers; they start when they are first asked for."""
    with pytest.MonkeyPatch.context() as patch, running_stack() as running:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            # Services are started a hundred times: compiling them each time would take minutes.
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield running


@pytest.fixture(scope="session")
def all_deciders(stack: Stack) -> Deciders:
    """The session's deciding services, in whatever state the last test left them."""
    return Deciders(stack)


@pytest.fixture
def deciders(all_deciders: Deciders) -> Deciders:
    """The session's deciding services, all of them serving."""
    all_deciders.ensure()
    return all_deciders


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what runs services: `make test` runs that alone, and the rest beside something else."""
    if item.get_closest_marker("e2e") or "all_deciders" in getattr(item, "fixturenames", ()):
        item.add_marker("services")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last lines of the services' logs with a test that fails."""
    report = yield
    deciders = getattr(item, "funcargs", {}).get("deciders")
    if report.failed and isinstance(deciders, Deciders):
        for log in deciders.logs:
            last = "\n".join(tail(log=log, lines=LOG_LINES))
            report.sections.append((f"log of {log.stem}", last))
    return report

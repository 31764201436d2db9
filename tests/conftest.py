"""Fixtures of all tests: the servers of the session and the deciding services on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.deciders import Deciders
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The session's servers; they start when they are first asked for."""
    with running_stack() as running:
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

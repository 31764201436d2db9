"""A small part of `make test-api` in every test run: the live API is as its document tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.fuzzing import run_schemathesis, start_platform
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e

EXAMPLES = 4
CASES_MIN = 500


@pytest.fixture
def url(all_deciders: Deciders) -> Iterator[str]:
    """A gateway of its own, on data that no other test finds."""
    yield start_platform(all_deciders)
    all_deciders.processes.clear()  # whoever comes next begins anew


def test_generated_requests_find_nothing(url: str) -> None:
    """Every operation, valid and broken requests, walks along the links; the seed is fixed."""
    result = run_schemathesis(url=url, examples=EXAMPLES, seed=20261123)
    assert 0 == result.exit_code, result.output
    assert result.cases >= CASES_MIN, result.output

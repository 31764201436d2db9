"""A small part of `make test-api` in every test run: the live API is as its document tells."""

from __future__ import annotations

import pytest

from tests.api.fuzzing import run_schemathesis, start_platform
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

EXAMPLES = 4
CASES_MIN = 500


def test_generated_requests_find_nothing(stack: Stack) -> None:
    """Every operation, valid and broken requests, walks along the links; the seed is fixed."""
    result = run_schemathesis(url=start_platform(stack), examples=EXAMPLES, seed=20261123)
    assert 0 == result.exit_code, result.output
    assert result.cases >= CASES_MIN, result.output

"""The story's checks: each is an assertion on a value, shown at once and counted for the end."""

from __future__ import annotations

from deploy.demo.screen import Screen


class StoryBroken(Exception):
    """Something that the rest of the story stands on is off; the message says what."""


class Checks:
    """Collects what was checked and whether it held."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.results: list[tuple[str, bool]] = []

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that were off, in order."""
        return tuple(text for text, passed in self.results if not passed)

    def true(self, what: str, *, passed: bool, otherwise: str = "") -> bool:
        """Check that *what* holds; *otherwise* is added to a failure."""
        text = what if passed or not otherwise else f"{what}: {otherwise}"
        self.results.append((text, passed))
        self._screen.verdict(passed=passed, text=text)
        return passed

    def equal(self, what: str, *, expected: object, actual: object) -> bool:
        """Check that *actual* is *expected*."""
        otherwise = f"expected {expected!r}, got {actual!r}"
        return self.true(what, passed=expected == actual, otherwise=otherwise)

    def need(self, what: str, *, expected: object, actual: object) -> None:
        """Check like `equal`; raises StoryBroken when it is off."""
        if not self.equal(what, expected=expected, actual=actual):
            raise StoryBroken(f"the rest of the story needs this: {what}")

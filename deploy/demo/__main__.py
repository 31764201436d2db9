"""Entry point of `python -m deploy.demo`: tells the story once and says whether all was right."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import aiohttp

from deploy.demo import keeping, selling
from deploy.demo.checks import Checks, StoryBroken
from deploy.demo.partner import Partner
from deploy.demo.screen import BOLD, DIM, RED, Screen
from deploy.demo.stack import Stack, find
from deploy.demo.story import API_KEY, Step, Story
from deploy.local.settings import SettingsError
from ota_client import CallFailed

EXIT_OFF, EXIT_SETTINGS = 1, 2
REQUEST_TIMEOUT_S = 10
INTERRUPTED = 130
SUMMARY = Step(
    "Was everything right?",
    "All checks of the story, each on a value and not on a status alone.",
    lambda story: _sum_up(story),
)
STEPS = (*selling.STEPS, *keeping.STEPS, SUMMARY)


async def _sum_up(story: Story) -> None:
    for text, passed in story.checks.results:
        story.screen.verdict(passed=passed, text=text)


async def tell(*, stack: Stack, screen: Screen) -> int:
    """Tell the story and return the exit code: 0 when every check held."""
    checks = Checks(screen)
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        partner = Partner(http=http, screen=screen, base_url=stack.base_url, api_key=API_KEY)
        story = Story(partner=partner, http=http, screen=screen, checks=checks, stack=stack)
        async with partner.ota:
            broken = await _tell_steps(story)
    screen.line()
    if broken or checks.failed:
        off = [*checks.failed, *([broken] if broken else [])]
        screen.line(f"✗ {len(off)} of {len(checks.results)} checks are off:", style=RED)
        for text in off:
            screen.line(f"  {text}", style=RED)
        return EXIT_OFF
    screen.line(f"✓ All {len(checks.results)} checks hold ({partner.calls} calls).", style=BOLD)
    _say_what_next(screen, stack=stack, order_id=story.order_id)
    return 0


async def _tell_steps(story: Story) -> str:
    """Tell the steps in order; return why the story broke off, empty when it did not."""
    try:
        await story.partner.await_start()
        for number, step in enumerate(STEPS, start=1):
            story.screen.step(
                number=number,
                count=len(STEPS),
                title=step.title,
                explanation=step.explanation,
            )
            await step.tell(story)
    except (StoryBroken, CallFailed) as error:
        story.screen.verdict(passed=False, text=f"the story breaks off here: {error}")
        return str(error)
    return ""


def _say_what_next(screen: Screen, *, stack: Stack, order_id: str) -> None:
    screen.line()
    screen.line("What to play with next", style=BOLD)
    for row in (
        f"{stack.base_url}/docs   the API's documentation, with try-it-out (key {API_KEY})",
        f"curl -H 'X-API-Key: {API_KEY}' {stack.base_url}/api/ota/orders/{order_id}",
        f"curl {stack.base_url}/pricing/rules/106   prices, without a key",
        f"{stack.data_dir / 'demo'}   the tickets' QR images, for your phone's camera",
        "make console   prints a way into the operators' console: what this story left behind",
        "make demo    tells it again, with fresh keys",
        "make bench   measures reserving under load, SQL's hot row beside it",
        "make reset   an empty system again; make down stops it",
    ):
        screen.line(f"  {row}", style=DIM)


def main() -> int:
    """Run the demonstration; return the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description="Tell the platform's main job as a story against a running stack (make up),"
        " and check every answer. Ends with 1 when anything is off.",
        epilog="Addresses come from the launcher's settings (environment, .env); NO_COLOR is"
        " honoured. May be run again and again.",
    )
    parser.parse_args()
    terminal = sys.stdout.isatty()
    screen = Screen(
        out=sys.stdout, terminal=terminal, colour=terminal and not os.environ.get("NO_COLOR")
    )
    try:
        stack = find(environment=os.environ)
    except SettingsError as error:
        screen.line(f"The settings cannot be used: {error}", style=RED)
        return EXIT_SETTINGS
    try:
        return asyncio.run(tell(stack=stack, screen=screen))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

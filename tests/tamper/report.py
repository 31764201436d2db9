"""The campaign's report in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from deploy import version
from ota_verify.findings import CHECKS
from tests.tamper.campaign import Outcome
from tests.tamper.controls import Control

_OPENING = (
    "`{command}` on {version}: {count} tamperings of {source}, drawn at random,"
    " **{detected} of {count} detected** in {seconds:.0f} s. Each one changes an export and is"
    " judged by `ota-verify`, which shares no code with the services. All of them, with what was"
    " said of each, are in the JSON file beside this one."
)
_ATTACKER = (
    "An attacker with all rights in the databases can change an event and make everything anew:"
    " the chain behind it, the head, the evidence in recorded answers. Only what lies elsewhere"
    " shows it."
)
_HONESTLY = (
    "So: what was recorded before the last anchor is safe from whoever has not got the anchors'"
    " key or cannot also rewrite the topic. What came after it (a minute, or 1,000 events) is"
    " guarded by the event topics (7 days) and by the receipts that partners keep, and by"
    " nothing else. Nothing in the ledgers says what a recorded refusal was, who owned a"
    " partition, or what the audit trail had; changes there are not noticed."
)


def markdown(
    report: Mapping[str, Any], outcomes: Sequence[Outcome], controls: Sequence[Control]
) -> str:
    """Return the report."""
    lines = [
        "# Tampering with the stored rows",
        "",
        _OPENING.format(**report, version=version.named(report["commit"])),
        "",
        "| class | tampering | tried | detected |",
        "|---|---|---|---|",
    ]
    tried = Counter((outcome.kind, outcome.name) for outcome in outcomes)
    noticed = Counter((outcome.kind, outcome.name) for outcome in outcomes if outcome.detected)
    lines += [
        f"| {kind} | {name} | {count} | {noticed[kind, name]} |"
        for (kind, name), count in sorted(tried.items())
    ]
    lines += [
        "",
        "## Which check noticed",
        "",
        "A tampering is mostly noticed by several; this counts each.",
        "",
        "| check | what it says | noticed |",
        "|---|---|---|",
    ]
    by_check = report["by_check"]
    lines += [
        f"| {check} | {meaning} | {by_check[check]} |"
        for check, meaning in CHECKS.items()
        if by_check.get(check)
    ]
    lines += [
        "",
        "## Controls, and what is not covered",
        "",
        _ATTACKER,
        "",
        "| attack | outcome |",
        "|---|---|",
    ]
    lines += [f"| {control.name} | {control.outcome} |" for control in controls]
    lines += [
        "",
        _HONESTLY,
        "",
    ]
    return "\n".join(lines)

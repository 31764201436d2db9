"""Links of the documentation lead somewhere, and an alert leads to what has to be done."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from deploy.local.settings import CHECKOUT
from deploy.monitoring.alert import RUNBOOK
from deploy.monitoring.documents import all_alerts
from deploy.monitoring.runbook_pages import anchor_of

PAGES = sorted(
    path
    for folder in ("docs", "clients", "deploy", ".")
    for path in (CHECKOUT / folder).glob("**/*.md" if folder != "." else "*.md")
    if "node_modules" not in path.parts
)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
PROCEDURES = CHECKOUT / "docs" / "runbook.md"


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what a page's headings are called in links, as code hosts make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return frozenset(map(anchor_of, headings))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every file is there, and every heading."""
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), name
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name}#{anchor}"


def test_every_alerts_link_has_its_heading() -> None:
    """What stands in the page of whoever is woken."""
    for alert in all_alerts():
        file, _, anchor = str(alert.as_yaml()["annotations"]["runbook_url"]).partition("#")
        assert anchor in anchors(CHECKOUT / file), alert.name


def test_the_procedures_index_names_every_alert_once() -> None:
    """From the alert to the procedure, and back from the alerts' page."""
    text = PROCEDURES.read_text(encoding="utf-8")
    index = text.partition("## From an alert")[2].partition("\n## ")[0]
    named = re.findall(r"\[(\w+)\]\(runbook-alerts\.md#(\w+)\)", index)
    assert all(name.lower() == anchor for name, anchor in named)
    assert sorted(alert.name for alert in all_alerts()) == sorted(name for name, _ in named)
    alerts = (CHECKOUT / RUNBOOK).read_text(encoding="utf-8")
    assert "(runbook.md#from-an-alert-to-what-has-to-be-done)" in alerts


def test_a_wrong_link_would_be_found(tmp_path: Path) -> None:
    """The control: of a page with two links one leads nowhere."""
    page = tmp_path / "page.md"
    page.write_text("# A `b` & c\n\n[x](#a-b--c) [y](#nowhere) [z](http://x.test/#y)\n")
    assert [("", "a-b--c"), ("", "nowhere")] == LINK.findall(page.read_text())
    assert frozenset({"a-b--c"}) == anchors(page)

"""The runbook in the console: links stay inside, headings can be led to, nothing is a template."""

from __future__ import annotations

from deploy.monitoring.documents import all_alerts
from deploy.monitoring.runbook_pages import NAMES, page
from services.gateway.console.pages import rendered
from services.gateway.console.web import RUNBOOK


def test_links_lead_to_the_console_s_own_pages_or_nowhere() -> None:
    """Documents that are not there become plain text, scripts never were links."""
    text = page(
        "# A\n\n## Stop it, *now*\n\n[x](runbook.md#a-b) [y](metrics.md) [z](#stop-it-now)"
        " [s](javascript:alert(1)) <b>bold</b> {{ 1 }}\n"
    )
    assert '<h2 id="stop-it-now">' in text
    assert '<a href="/console/runbook/procedures#a-b">x</a> y <a href="#stop-it-now">z</a>' in text
    assert "javascript" not in text.replace("(javascript:alert(1))", "")
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "{% raw %}" in text


def test_every_alert_has_its_place() -> None:
    """On the page that the console gives."""
    assert set(RUNBOOK) == set(NAMES.values())
    shown = rendered("runbook/alerts.html")
    for alert in all_alerts():
        assert f'id="{alert.name.lower()}"' in shown

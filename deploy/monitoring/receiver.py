"""The receiver of the local stack: writes a line for each alert, and does nothing else.

Run it as `python -m deploy.monitoring.receiver 127.0.0.1 9096`; Alertmanager posts to /page and
/ticket.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
WRITING: Final = threading.Lock()


def lines(receiver: str, notification: dict[str, Any], *, now: datetime) -> list[str]:
    """Return a line of JSON for each alert of a notification."""
    return [
        json.dumps(
            {
                "timestamp": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "level": "error" if receiver == "page" else "warning",
                "event": f"alert.{alert.get('status', 'unknown')}",
                "service.name": "alerts",
                "alert": alert.get("labels", {}).get("alertname"),
                "severity": receiver,
                "labels": alert.get("labels", {}),
                "since": alert.get("startsAt"),
                **{
                    name: alert.get("annotations", {}).get(name)
                    for name in ("summary", "runbook_url", "dashboard_url")
                },
            },
            ensure_ascii=False,
        )
        for alert in notification.get("alerts", [])
    ]


class Receiver(BaseHTTPRequestHandler):
    """Takes Alertmanager's notifications."""

    timeout = 5.0

    def do_GET(self) -> None:
        """Say that we are here."""
        self._answer(200)

    def do_POST(self) -> None:
        """Write what is told."""
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 < length <= BODY_BYTES_MAX:
            self._answer(413)
            return
        try:
            notification = json.loads(self.rfile.read(length))
        except ValueError:
            self._answer(400)
            return
        told = lines(self.path.strip("/"), notification, now=datetime.now(UTC))
        # Each notification has a thread of its own: without the lock lines would run together.
        with WRITING:
            print(*told, sep="\n", flush=True)
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests: the alerts are the log."""


def main() -> None:
    """Serve until ended."""
    host, port = sys.argv[1:]
    with ThreadingHTTPServer((host, int(port)), Receiver) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

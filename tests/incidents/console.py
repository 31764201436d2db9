"""The operators' console as somebody sees it who has signed in: the rows of its panels, as text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

import aiohttp

_ROWS: Final = ("tr", "li", "p")


class Console:
    """The console of the gateway whose ops port is at *url*."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url
        self._cookie = ""

    async def sign_in(self, name: str, secret: str) -> None:
        """Sign in; raises AssertionError if that is refused."""
        form = {"name": name, "secret": secret, "next": "/console"}
        async with self._session.post(
            f"{self.url}/console/sign-in", data=form, allow_redirects=False
        ) as answer:
            assert 303 == answer.status, await answer.text()
            self._cookie = answer.headers["Set-Cookie"].partition(";")[0]

    async def rows(self, path: str, panel: str, *, of: str) -> list[str]:
        """Return the rows of a page's panel that have *of* in them."""
        async with self._session.get(
            f"{self.url}/console{path}", headers={"Cookie": self._cookie}
        ) as answer:
            text = await answer.text()
        return [row for row in rows_of(text, panel) if of in row]


def rows_of(page: str, panel: str) -> list[str]:
    """Return the text of each row, card and sentence of a panel."""
    reader = _Reader(f"body-{panel}")
    reader.feed(page)
    return [" ".join(" ".join(row).split()) for row in reader.rows]


class _Reader(HTMLParser):
    def __init__(self, id: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._id = id
        self._divs = 0
        # The outermost row that is open, and how many of its kind are.
        self._row = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div" and (self._divs or ("id", self._id) in attrs):
            self._divs += 1
        elif self._divs and tag in _ROWS and not self._row:
            self._row, self._depth = tag, 1
            self.rows.append([])
        elif tag == self._row:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._divs:
            self._divs -= 1
        elif tag == self._row:
            self._depth -= 1
            if not self._depth:
                self._row = ""

    def handle_data(self, data: str) -> None:
        if self._divs and self._row:
            self.rows[-1].append(data)

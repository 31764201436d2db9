"""Answers of the console: pages, files, outcomes of actions, events of the stream."""

from __future__ import annotations

from aiohttp import web
from markupsafe import Markup

from services.gateway.console.live import Content, Panel
from services.gateway.console.pages import SAFETY, file, rendered

ROOT = "/console"
SIGN_IN = "/console/sign-in"


async def static(request: web.Request) -> web.Response:
    """Send one of the console's own files; browsers ask by its tag whether it is a new one."""
    found = file(request.match_info["name"])
    if found is None:
        return failed(404, "There is no such file.")
    headers = {**SAFETY, "ETag": found.etag, "Cache-Control": "public, no-cache"}
    if request.headers.get("If-None-Match") == found.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=found.compressed,
        headers={**headers, "Content-Encoding": "gzip", "Content-Type": found.content_type},
    )


def first_content(panel: Panel, content: Content | None) -> Markup:
    """Return what stands in a panel's place at first; the templates have escaped it."""
    if content is None:
        return Markup(rendered("panels/waiting.html"))  # noqa: S704
    return Markup(content[panel.name])  # noqa: S704


def frame(name: str, text: str) -> bytes:
    """Return an event of the stream; each line of its text needs a head of its own."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode()


def html(text: str, *, status: int = 200) -> web.Response:
    """Return a page or a part of one."""
    return web.Response(text=text, status=status, content_type="text/html", headers=SAFETY)


def failed(status: int, reason: str) -> web.Response:
    """Return a page that says why the one that was asked for is not there."""
    return html(rendered("failed.html", reason=reason), status=status)


def said(status: int, words: str) -> web.Response:
    """Return the outcome of an action, for the place on the page where such things stand."""
    return html(rendered("said.html", words=words, good=status < 400), status=status)


def away_to(path: str) -> web.Response:
    """Lead to another page."""
    return web.Response(status=303, headers={**SAFETY, "Location": path})


def own_path(path: str) -> str:
    """Return a path of the console to go to; for any other address the first page."""
    inside = path == ROOT or path.startswith((f"{ROOT}/", f"{ROOT}?"))
    if not inside or path.startswith(SIGN_IN) or "\\" in path or not path.isprintable():
        return ROOT
    return path


def same_origin(request: web.Request) -> bool:
    """Say whether a form was sent from a page of ours; every browser of today tells."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin.split("://")[-1] == request.host

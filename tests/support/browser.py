"""A real Chromium, driven over its own protocol: pages, keys, sizes, themes, pictures.

Debian's package or whatever `chromium` is on the machine; nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from tests.support.waiting import eventually

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
START_TIMEOUT_S: Final = 60.0
ANSWER_TIMEOUT_S: Final = 30.0
FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--remote-debugging-port=0", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-quic"),
    *("--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb"),
)


def find_browser() -> str | None:
    """Return where a Chromium is, None on a machine without one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class BrowserError(AssertionError):
    """The browser did not do as told."""


class Page:
    """One tab. *faults* collects what the console of the browser complains about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.questions: list[str] = []

    async def listen(self) -> None:
        """Take in what the browser says, until cancelled."""
        async for message in self._socket:
            said = json.loads(message.data)
            if (waiting := self._answers.pop(said.get("id", 0), None)) is not None:
                waiting.set_result(said)
            else:
                await self._note(said.get("method", ""), said.get("params", {}))

    async def _note(self, method: str, told: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.faults.append(details.get("exception", {}).get("description", str(details)))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.faults.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert"):
                self.faults.append(json.dumps(told["args"]))
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.questions.append(told["message"])
                await self._send("Page.handleJavaScriptDialog", accept=True)

    async def _send(self, method: str, **params: Any) -> int:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return number

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command of the protocol and return its result."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        number = await self._send(method, **params)
        self._answers[number] = answer
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            said = await answer
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']}")
        return dict(said["result"])

    async def run(self, script: str) -> Any:
        """Return the value of an expression on the page; promises are awaited."""
        said = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise BrowserError(f"{script}: {said['exceptionDetails']}")
        return said["result"].get("value")

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        # Marked, so that the page before is not taken for the new one.
        await self.run("window.leftBehind = true")
        await self.call("Page.navigate", url=url)
        await self.arrived()

    async def arrived(self) -> None:
        """Wait until another page than the marked one is loaded."""

        async def there() -> Any:
            with suppress(BrowserError):  # between two pages there is nothing to be asked
                return await self.run("!window.leftBehind && document.readyState === 'complete'")
            return False

        await eventually(there, what="the page")

    async def follow(self, script: str) -> None:
        """Do something that leads to another page, and wait for that."""
        await self.run(f"window.leftBehind = true; {script}; 0")
        await self.arrived()

    async def sees(self, text: str, *, within: str = "body", timeout_s: float = 20.0) -> None:
        """Wait until a text can be read on the page."""
        script = f"document.querySelector({json.dumps(within)})?.innerText ?? ''"

        async def there() -> bool:
            return text in str(await self.run(script)).replace("\u202f", "")

        try:
            await eventually(there, what=text, timeout_s=timeout_s)
        except AssertionError:
            shown = str(await self.run(script))
            raise BrowserError(f"{text!r} is not on the page: {shown[:2000]}") from None

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=codes.get(key, 0),
                **({"text": text} if kind == "keyDown" and text else {}),
            )

    async def mouse(self, kind: str, *, at: str) -> None:
        """Press (`mousePressed`) or let go (`mouseReleased`) in the middle of an element."""
        x, y = await self.run(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(at)}).getBoundingClientRect())"
        )
        await self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
        )

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Make the window so large."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    async def prefer(self, scheme: str) -> None:
        """Prefer the light or the dark scheme, as a system's setting would."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self, file: Path) -> None:
        """Save what is in the window."""
        said = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(file.write_bytes, base64.b64decode(said["data"]))


@asynccontextmanager
async def open_page() -> AsyncIterator[Page]:
    """Start a browser with a profile of its own and give its one tab."""
    binary = find_browser()
    assert binary is not None, "there is no Chromium on this machine"
    with TemporaryDirectory(prefix="ota-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={"HOME": profile, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
                url = tabs[0]["webSocketDebuggerUrl"]
                async with (
                    session.ws_connect(url, max_msg_size=0) as socket,
                    asyncio.TaskGroup() as group,
                ):
                    page = Page(socket)
                    listening = group.create_task(page.listen())
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.call(f"{domain}.enable")
                    # As if the window were before somebody: else nothing has the focus.
                    await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
                    try:
                        yield page
                    finally:
                        listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _port(file: Path) -> int:
    async def told() -> str:
        with suppress(OSError):
            return await asyncio.to_thread(file.read_text)
        return ""

    text = await eventually(told, timeout_s=START_TIMEOUT_S, what="the browser's port")
    return int(text.splitlines()[0])

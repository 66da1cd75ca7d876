"""A headless Chromium, steered over its DevTools protocol: what a page looks like, and what it complains about."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_SECONDS = 30.0


def find_chromium() -> str:
    """Where it is; skips the test, with what to do, where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: install it (Debian: apt-get install chromium)")
    return found


class Page:
    """One open tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []
        """Errors and warnings on the console, uncaught exceptions, and requests to anywhere."""

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One command of the protocol; returns its result."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": arguments})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, what = message.get("method"), message.get("params", {})
        bad = method == "Runtime.exceptionThrown"
        bad = bad or (method == "Log.entryAdded" and what["entry"]["level"] != "verbose")
        bad = bad or (method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"))
        bad = bad or (method == "Network.requestWillBeSent" and what["request"]["url"].startswith("http"))
        if bad:
            self.complaints.append(str(what))

    async def show(self, url: str, *, width: int, dark: bool = False, height: int = 900) -> None:
        """Open `url` in a window of `width` pixels and wait until it is there."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        await self.call("Page.navigate", url=url)
        while await self.value("document.readyState") != "complete" or await self.value("location.href") != url:
            await asyncio.sleep(0.05)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        taken = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """Start a browser with an empty profile; yields its one tab, listening to all that it says."""
    command = [find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={profile}", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage"]
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = await _port(process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            target = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(target, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.terminate()
        process.wait()


async def _port(process: subprocess.Popen[bytes], file: Path) -> str:
    async with asyncio.timeout(_START_SECONDS):
        while not (file.exists() and "\n" in file.read_text()):
            assert process.poll() is None, "Chromium ended at once"
            await asyncio.sleep(0.05)
    return file.read_text().splitlines()[0]

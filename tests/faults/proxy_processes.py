"""`penstock proxy --processes N` as processes, an app in this one, and clients that hide nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from .processes import ENVIRONMENT, PATIENCE

TOKEN = "a-token-of-many-characters"
Script = Callable[[str, str, bytes], Awaitable[bytes]]
"""From method, target and head to the bytes of the answer."""


def answer(body: bytes, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


class App:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[str, str]] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length: "):
                        await reader.readexactly(int(line.split()[1]))
                self.asked.append((method, target))
                writer.write(await self.script(method, target, head))
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        # What is aborted is closed by the loop's next turns.
        await asyncio.sleep(0.05)


class Running:
    """A proxy that answers."""

    def __init__(self, process: asyncio.subprocess.Process, app: App, log: Path) -> None:
        self.process = process
        self.app = app
        self.log = log
        self.port = 0

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def workers(self) -> list[int]:
        """Their process ids, in no order that means anything."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    async def said(self, words: str) -> None:
        await until(lambda: words in self.text)

    async def get(self, target: str, *lines: str, method: str = "GET", tls: ssl.SSLContext | None = None) -> bytes:
        """The answer, over a connection of its own."""
        return await self.send(
            "\r\n".join([f"{method} {target} HTTP/1.1", "Host: shop", "Connection: close", *lines, "", ""]), tls
        )

    async def send(self, text: str, tls: ssl.SSLContext | None = None) -> bytes:
        name: Any = {"server_hostname": "shop.test"} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, **name)
        writer.write(text.encode())
        async with asyncio.timeout(PATIENCE):
            try:
                found = await reader.read()
            finally:
                writer.close()
        return found

    async def admin(self, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        url = self.text.split("admin at ")[1].split()[0]
        request = urllib.request.Request(
            url + path,
            None if data is None else orjson.dumps(data),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )

        def ask() -> dict[str, Any]:
            with urllib.request.urlopen(request, timeout=10) as found:
                told: dict[str, Any] = orjson.loads(found.read())
                return told

        return await asyncio.to_thread(ask)

    async def both_sides(self, count: int = 40) -> dict[str, bytes]:
        """What clients of any process get of `count` URLs, which belong to all of them."""
        return {f"/{number}": await self.get(f"/{number}") for number in range(count)}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def processes_of(folder: Path) -> list[int]:
    """The parents of proxies of the test with this folder: of a successor nobody but the system knows."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            if f"TMPDIR={folder}".encode() in environment and b"PENSTOCK_PROXY_PROCESS" not in environment:
                found.append(int(entry.name))
    return found


@contextlib.asynccontextmanager
async def proxy_of(script: Script, folder: Path, *options: str, count: int = 2) -> AsyncIterator[Running]:
    app = App(script)
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0, backlog=2000)
    where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    log = folder / "proxy.log"
    command = [sys.executable, "-m", "penstock", "proxy", "--origin", where, "--processes", str(count)]
    if "--listen" not in options:
        command += ["--listen", "127.0.0.1:0"]
    environment = {**ENVIRONMENT, "PENSTOCK_ADMIN_TOKEN": TOKEN, "TMPDIR": str(folder)}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, *options, stderr=file, stdout=subprocess.DEVNULL, env=environment
        )
    running = Running(process, app, log)
    workers: list[int] = []
    try:
        await until(lambda: " answers for " in running.text or process.returncode is not None)
        assert process.returncode is None, running.text
        running.port = int((running.text.split(" answers for ")[0].rpartition(":")[2]).split("/")[0] or 0)
        workers = running.workers
        yield running
    finally:
        for pid in {*processes_of(folder), *workers}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        server.close()
        await app.close()

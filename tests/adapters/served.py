"""Servers in a thread of their own, for clients that block theirs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import penstock
from penstock.testing import FaultServer, Reply, ServedRequest

T = TypeVar("T")
RST = b"RST"


@contextlib.contextmanager
def in_a_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What `make` makes, entered and left on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="served")
    thread.start()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def enter() -> tuple[AbstractAsyncContextManager[T], T]:
        manager = make()
        return manager, await manager.__aenter__()

    async def leave(manager: AbstractAsyncContextManager[T]) -> None:
        await manager.__aexit__(None, None, None)

    try:
        manager, server = there(enter())
        try:
            yield server
        finally:
            there(leave(manager))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


class Replying:
    """A fault server that gives `replies` one after the other, the last again and again, and keeps the requests."""

    def __init__(self, replies: list[Reply], **options: Any) -> None:
        self.replies = replies
        self.requests: list[ServedRequest] = []
        self.options = options

    def respond(self, request: ServedRequest) -> Reply:
        self.requests.append(request)
        return self.replies[min(len(self.requests), len(self.replies)) - 1]

    def make(self) -> FaultServer:
        return FaultServer(respond=self.respond, **self.options)


class Raw:
    """A server that writes `answers`, one for each request, the last again and again, and closes after each.

    None: it hangs; RST: it resets; a float: it waits for so many seconds before it closes.
    """

    def __init__(self, answers: list[bytes | float | None]) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.url = ""
        self.closed_by_client = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Raw]:
        server = await asyncio.start_server(lambda *both: self.serve(*both), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
            answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
            if answer is None:
                await reader.read()
                self.closed_by_client += 1
            elif isinstance(answer, float):
                await asyncio.sleep(answer)
            elif answer == RST:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def limited_process(folder: Path, limit: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """A strict server in a process of its own, which no thread of ours holds up: its URL, and how many it refused."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "penstock.testing.fault_server", "--port-file", str(port_file), "--limit", limit]
    environment = {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 30
            while not port_file.exists() and time.monotonic() < until:
                time.sleep(0.02)
            url = f"http://127.0.0.1:{int(port_file.read_text())}"

            def refused() -> int:
                with urllib.request.urlopen(f"{url}/stats", timeout=10) as answer:
                    return int(json.load(answer)["limit_violations"])

            yield url, refused
        finally:
            server.terminate()

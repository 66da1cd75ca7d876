"""What an operator sees of the proxy's life: an app that is gone, a circle, a second Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.inbound.cache.health import OriginHealth


def test_health_is_told_once_each_way() -> None:
    health = OriginHealth()
    told: list[bool] = []
    health.on_change = told.append
    for second in range(5):
        health.failed(float(second))
    states = [health.is_up]
    assert not health.is_down(1000.0), "the next request may try"
    health.answered()
    health.answered()
    states.append(health.is_up)
    assert states == told == [False, True]


@asynccontextmanager
async def proxy(origin: int, log: Path, listen: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A proxy in front of a port, and its own."""
    command = ["-m", "penstock", "proxy", "--origin", f"http://127.0.0.1:{origin}", "--listen", f"127.0.0.1:{listen}"]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=file, env={**os.environ})
    try:
        while " answers for " not in log.read_text():
            await asyncio.sleep(0.05)
        yield process, int(log.read_text().split(" answers for ")[0].rpartition(":")[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(port: int, method: str = "GET") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} /{os.urandom(4).hex()} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.real
def test_an_app_that_is_gone_is_said_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxy(free_port(), tmp_path / "log") as (process, port):
            for _ in range(6):
                assert b" 502 " in await ask(port)
            process.terminate()
            assert await process.wait() == 0
        assert (tmp_path / "log").read_text().count("does not answer") == 1

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.real
def test_a_proxy_that_is_its_own_origin_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with proxy(port, tmp_path / "log", listen=port):
            assert b" 508 " in await ask(port, "POST")

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.real
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    asked = asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with proxy(server.sockets[0].getsockname()[1], tmp_path / "log") as (process, port):
            waiting = asyncio.create_task(ask(port))
            await asked.wait()
            process.send_signal(signal.SIGINT)
            while "finishing" not in (tmp_path / "log").read_text():
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
            await asyncio.gather(waiting, return_exceptions=True)
        assert "without waiting" in (tmp_path / "log").read_text()
        server.close()

    asyncio.run(asyncio.wait_for(main(), 20))

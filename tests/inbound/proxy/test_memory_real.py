"""`--memory` as the kernel sees it: a proxy as a child, and one client that asks for long URLs without end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .real_tools import Asked, RealOrigin

MIB = 1 << 20
URLS = 6_000
LONG = "x" * 7900


@asynccontextmanager
async def proxy(origin: int, log: Path) -> AsyncIterator[tuple[int, int]]:
    """A proxy with 16 MiB in front of a port: its process, and its own port."""
    command = ["-m", "penstock", "proxy", "--origin", f"http://127.0.0.1:{origin}", "--listen", "127.0.0.1:0"]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, "--memory", "16MiB", stderr=file)
    try:
        while " answers for " not in log.read_text():
            await asyncio.sleep(0.05)
        yield process.pid, int(log.read_text().split(" answers for ")[0].rpartition(":")[2])
    finally:
        process.kill()
        await process.wait()


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def ask_for(port: int, numbers: range) -> None:
    """One after another on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        writer.write(f"GET /{number}{LONG} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(4)
    writer.close()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not say what a process takes")
@pytest.mark.parametrize("fields", [("Cache-Control: private",), ("Cache-Control: max-age=600", "Vary: Accept")])
def test_a_client_with_endless_urls(fields: tuple[str, ...], tmp_path: Path) -> None:
    """47 MB of URLs, refused or varying: each was kept whole, and beside the budget."""

    async def answer(asked: Asked) -> None:
        await asked.answer(*fields)

    async def main() -> None:
        origin = await asyncio.start_server(RealOrigin(answer).serve, "127.0.0.1", 0)
        async with origin, proxy(origin.sockets[0].getsockname()[1], tmp_path / "log") as (pid, port):
            await ask_for(port, range(200))
            before = resident(pid)
            await ask_for(port, range(200, URLS))
            assert resident(pid) - before < 24 * MIB

    asyncio.run(asyncio.wait_for(main(), 100))

"""A proxy between Unix sockets: addresses, logs, bounds, restart and the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from penstock.cli.main import run_command
from penstock.clock import current_clock
from penstock.inbound.proxy.access_log import AccessLog
from penstock.inbound.proxy.proxy import Proxy, ProxySettings
from penstock.wire.server import ServerLimits
from penstock.wire.unix_socket import open_unix_socket

from .real_tools import Asked, Client, RealOrigin

pytestmark = pytest.mark.real

LOOPS = [asyncio.run, uvloop.run]


async def shop(asked: Asked) -> None:
    if asked.method == "POST":
        await asked.body()
    await asked.answer("Cache-Control: max-age=60", body=asked.target.encode())


@contextlib.asynccontextmanager
async def net(folder: Path, log: AccessLog | None = None, **settings: Any) -> AsyncIterator[tuple[RealOrigin, Proxy]]:
    """A proxy at `folder`/proxy, in front of `folder`/app."""
    origin = RealOrigin(shop)
    server = await asyncio.start_unix_server(origin.serve, str(folder / "app"))
    proxy = Proxy(ProxySettings(f"unix:{folder}/app", **settings), access_log=log)
    await proxy.start("", 0, sock=open_unix_socket(str(folder / "proxy")))
    try:
        yield origin, proxy
    finally:
        await proxy.aclose(1.0)
        server.close()
        await origin.left_alone()


async def connect(folder: Path) -> Client:
    return Client(*await asyncio.open_unix_connection(str(folder / "proxy")))


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize(
    ("trust", "sent", "reaches", "logged"),
    [
        (False, [], None, "unix:"),
        (False, ["X-Forwarded-For: 198.51.100.7"], None, "unix:"),
        (True, [], None, "unix:"),
        (True, ["X-Forwarded-For: 203.0.113.1, 198.51.100.7"], "203.0.113.1, 198.51.100.7", "198.51.100.7"),
    ],
)
def test_whose_address_it_is(
    tmp_path: Path, run: Callable[[Any], None], trust: bool, sent: list[str], reaches: str | None, logged: str
) -> None:
    """A peer on a Unix socket has none: the app gets what a trusted one says, and nothing made up."""

    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log", trust_forwarded=trust)
        async with net(tmp_path, log, trust_forwarded=trust) as (origin, _):
            client = await connect(tmp_path)
            for _ in range(4):
                assert (await client.get("/a", *sent))[0] == 200
            await client.send("/form", *sent, "Content-Length: 1", method="POST", body=b"x")
            await client.answer()
            client.writer.transport.abort()
            first, form = origin.asked
            assert first.fields["host"] == "shop", "the Host of the client, not that of the socket"
            assert [asked.fields.get("x-forwarded-for") for asked in (first, form)] == [reaches] * 2
        log.close()
        lines = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
        assert [line["client"] for line in lines] == [logged] * 5
        assert [line["cache"] for line in lines] == ["miss", "hit", "hit", "hit", "bypass"]

    run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("run", LOOPS)
def test_the_bound_of_one_address_does_not_hold(tmp_path: Path, run: Callable[[Any], None]) -> None:
    """All clients would be one."""

    async def main() -> None:
        limits = ServerLimits(max_connections=6, max_connections_per_address=2)
        async with net(tmp_path, limits=limits) as (_, proxy):
            clients = [await connect(tmp_path) for _ in range(5)]
            for client in clients:
                assert (await client.get("/a"))[0] == 200
            assert proxy.server.refused == 0
            for client in clients:
                client.writer.transport.abort()

    run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("run", LOOPS)
def test_an_app_that_is_not_there_and_then_is(tmp_path: Path, run: Callable[[Any], None]) -> None:
    async def main() -> None:
        said: list[str] = []
        proxy = Proxy(ProxySettings(f"unix:{tmp_path}/app"))
        proxy.engine.health.on_change = lambda up, why: said.append("up" if up else why)
        await proxy.start("", 0, sock=open_unix_socket(str(tmp_path / "proxy")))
        client = await connect(tmp_path)
        assert (await client.get("/a"))[0] == 502
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(tmp_path / "app"))
        dead.close()
        assert (await client.get("/a"))[0] == 502
        (tmp_path / "app").unlink()
        origin = RealOrigin(shop)
        server = await asyncio.start_unix_server(origin.serve, str(tmp_path / "app"))
        assert (await client.get("/a"))[0] == 200
        client.writer.transport.abort()
        await proxy.aclose(1.0)
        server.close()
        await origin.left_alone()
        assert said == [f"unix:{tmp_path}/app: no connection (no such file or directory)", "up"]

    run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("run", LOOPS)
def test_an_app_whose_queue_is_full_is_waited_for(tmp_path: Path, run: Callable[[Any], None]) -> None:
    """connect() on a Unix socket says EAGAIN then, which is not the EINPROGRESS of TCP: nothing is under way."""

    async def main() -> None:
        path = str(tmp_path / "app")
        busy = socket.socket(socket.AF_UNIX)
        busy.bind(path)
        busy.listen(0)
        other = socket.socket(socket.AF_UNIX)
        other.connect(path)
        proxy = Proxy(ProxySettings(f"unix:{path}", connect_timeout=10.0))
        await proxy.start("", 0, sock=open_unix_socket(str(tmp_path / "proxy")))
        client = await connect(tmp_path)
        await client.send("/a")
        await asyncio.sleep(0.1)
        busy.setblocking(False)
        origin = RealOrigin(shop)
        server = await asyncio.start_unix_server(origin.serve, sock=busy)
        assert (await client.answer())[0] == 200
        client.writer.transport.abort()
        other.close()
        await proxy.aclose(1.0)
        server.close()
        await origin.left_alone()

    run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("mode", [["--listen-mode", "666"], []])
def test_the_command_from_its_start_over_a_restart_to_its_end(tmp_path: Path, mode: list[str]) -> None:
    """A stale file is removed, the successor goes on with the socket, and the last one removes the file."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "proxy"))
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def main() -> None:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / "proxy"))
        left.close()
        origin = RealOrigin(shop)
        server = await asyncio.start_unix_server(origin.serve, str(tmp_path / "app"))
        places = ["--origin", f"unix:{tmp_path}/app", "--listen", f"unix:{tmp_path}/proxy", *mode]
        log = tmp_path / "log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "penstock", "proxy", *places]
            process = await asyncio.create_subprocess_exec(*command, stderr=file, env={**os.environ})
        while " answers for " not in log.read_text():
            await asyncio.sleep(0.05)
        assert f"penstock: unix:{tmp_path}/proxy answers for unix:{tmp_path}/app" in log.read_text()
        if mode:
            assert stat.S_IMODE((tmp_path / "proxy").stat().st_mode) == 0o666
        assert b" 200 " in await ask()
        process.send_signal(signal.SIGUSR2)
        assert await process.wait() == 0
        assert b" 200 " in await ask(), "the successor has the socket, and its file is there"
        os.kill(successor(str(tmp_path / "proxy")), signal.SIGTERM)
        while (tmp_path / "proxy").exists():
            await asyncio.sleep(0.05)
        server.close()
        await origin.left_alone()

    asyncio.run(asyncio.wait_for(main(), 60))


_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "penstock", *sys.argv[2:]])
"""


def test_a_socket_of_systemd_keeps_its_file(tmp_path: Path) -> None:
    async def main() -> None:
        log = tmp_path / "log"
        places = ["--origin", f"unix:{tmp_path}/app", "--listen", f"unix:{tmp_path}/other"]
        with open_unix_socket(str(tmp_path / "proxy")) as sock, log.open("wb") as file:
            number = sock.fileno()
            command = [sys.executable, "-c", _AS_SYSTEMD, str(number), "proxy", *places]
            process = await asyncio.create_subprocess_exec(*command, stderr=file, pass_fds=(number,))
        while f"unix:{tmp_path}/proxy answers for " not in log.read_text():
            await asyncio.sleep(0.05)
        client = await connect(tmp_path)
        assert (await client.get("/a"))[0] == 502, "it answers, and there is no app"
        client.writer.transport.abort()
        process.terminate()
        assert await process.wait() == 0
        assert (tmp_path / "proxy").exists()
        assert not (tmp_path / "other").exists()

    asyncio.run(asyncio.wait_for(main(), 60))


def successor(path: str) -> int:
    """It is nobody's child any more, so it is found by what it was called with."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and f"unix:{path}".encode() in Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0"):
                return int(name)
    raise AssertionError("there is no successor")


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (["--listen", "unix:{}/a", "--origin", "unix:{}/a"], "is this proxy itself"),
        (["--listen", "unix:{}/a", "--origin", "unix:{}/./a"], "is this proxy itself"),
        (["--listen", "unix:{}/no/a", "--origin", "http://127.0.0.1:9"], "no such file or directory"),
        (["--listen", "unix:", "--origin", "http://127.0.0.1:9"], "names no socket"),
        (["--listen", "unix:/a", "--listen-mode", "rw", "--origin", "http://127.0.0.1:9"], "no mode of a file"),
        (["--listen", ":0", "--listen-mode", "660", "--origin", "http://127.0.0.1:9"], "is for --listen unix:/path"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], places: list[str], words: str) -> None:
    typed = [each.replace("{}", str(tmp_path)) for each in places]
    assert run_command(["proxy", *typed]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing is left"

"""What an operator sees of the proxy's life: an app that is gone, a circle, a second Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from penstock.cli.proxy_log import ProxyLog, Refusals
from penstock.inbound.cache.health import OriginHealth
from penstock.rules.caching.http_date import format_http_date

TOKEN = {"PENSTOCK_ADMIN_TOKEN": "a-token-for-this-test"}
_STARTED = re.compile(r'penstock: \S+:(\d+) answers for |"event":"started".*"url":"\S+?:(?=\d+")(\d+)"')


def told(*happened: str) -> list[str]:
    """What is told of a list of `refused`, `hung` and `answered`, each a second after the one before."""
    health = OriginHealth()
    said: list[str] = []
    health.on_change = lambda up, why: said.append("up" if up else why)
    for second, what in enumerate(happened):
        if what == "answered":
            health.answered(100.0 + second)
        else:
            health.failed(100.0 + second, what, unreachable=what == "refused")
    return said


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (["refused"], ["refused"]),
        (["refused"] * 9, ["refused"]),
        (["hung"] * 2, []),
        (["hung"] * 5, ["hung"]),
        (["hung", "refused", "hung"], ["refused"]),
        (["answered", "answered"], []),
        (["refused", "answered", "answered"], ["refused", "up"]),
        (["hung", "hung", "answered"], []),
        (["hung", "hung", "hung", "answered"], ["hung", "up"]),
        # Every second request fails: it is said once, not for each.
        (["refused", "answered"] * 5, ["refused", "up"]),
        (["refused", "answered", "refused", "refused", "refused"], ["refused", "up", "refused"]),
        (["refused", *["answered"] * 12, "refused"], ["refused", "up", "refused"]),
    ],
)
def test_health_is_told_once_each_way(happened: list[str], said: list[str]) -> None:
    assert told(*happened) == said


def test_down_for_a_second_after_three_failures() -> None:
    health = OriginHealth()
    for _ in range(2):
        health.failed(100.0, "refused", unreachable=True)
        assert health.is_up
        assert not health.is_down(100.5)
    health.failed(100.0, "refused", unreachable=True)
    assert not health.is_up
    assert health.is_down(100.5)
    assert not health.is_down(101.5), "the next request may try"
    health.answered(102.0)
    assert health.is_up


@asynccontextmanager
async def proxy(
    origin: int, log: Path, *more: str, listen: int = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A proxy in front of a port, and its own."""
    command = [
        "-m",
        "penstock",
        "proxy",
        "--origin",
        f"http://127.0.0.1:{origin}",
        "--listen",
        f"127.0.0.1:{listen}",
        *more,
    ]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stderr=file, env={**os.environ, **TOKEN}
        )
    try:
        while (found := _STARTED.search(log.read_text())) is None:
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)
        yield process, int(found[1] or found[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(port: int, method: str = "GET") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} /{os.urandom(4).hex()} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def comes(log: Path, text: str) -> None:
    """Wait until the log has it; the caller has a time limit."""
    while text not in log.read_text():
        await asyncio.sleep(0.02)


@pytest.mark.real
def test_an_app_that_is_gone_is_said_once_and_in_plain_words(tmp_path: Path) -> None:
    """At the start, before anybody asks; when it is there; and when it has gone again."""

    async def main() -> None:
        origin, log = free_port(), tmp_path / "log"
        async with proxy(origin, log) as (process, port):
            await comes(log, "does not answer")
            for _ in range(6):
                assert b" 502 " in await ask(port)
            server = await asyncio.start_server(answers, "127.0.0.1", origin)
            assert b" 200 " in await ask(port)
            await comes(log, "answers again")
            process.terminate()
            assert await process.wait() == 0
            server.close()
        lines = [line for line in log.read_text().splitlines() if "answer" in line]
        url = f"http://127.0.0.1:{origin}"
        assert lines[1:3] == [
            f"penstock: {url} does not answer: no connection (connection refused); until it does, stale answers where "
            "that is allowed, or 502",
            f"penstock: {url} answers again",
        ]
        assert len(lines) == 4

    asyncio.run(asyncio.wait_for(main(), 60))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.mark.real
def test_the_same_as_events(tmp_path: Path) -> None:
    """`--log json`: every line is an object, and nothing is said in another way."""

    async def main() -> None:
        origin, log = free_port(), tmp_path / "log"
        policy = tmp_path / "cache.toml"
        policy.write_text('[[path]]\nmatch = "/*"\nttl = 60\n')
        more = ["--log", "json", "--policy", str(policy), "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        async with proxy(origin, log, *more) as (process, port):
            await comes(log, '"outage"')
            server = await asyncio.start_server(answers, "127.0.0.1", origin)
            assert b" 200 " in await ask(port)
            await comes(log, '"recovered"')
            process.send_signal(signal.SIGHUP)
            await comes(log, '"reloaded"')
            policy.write_text("nonsense = [")
            process.send_signal(signal.SIGHUP)
            await comes(log, '"not_reloaded"')
            process.terminate()
            assert await process.wait() == 0
            server.close()
        lines = [orjson.loads(line) for line in log.read_text().splitlines()]
        found = [(line["event"], line["level"]) for line in lines]
        assert found == [
            ("admin", "info"),
            ("metrics", "info"),
            ("started", "info"),
            ("outage", "warning"),
            ("recovered", "info"),
            ("reloaded", "info"),
            ("not_reloaded", "error"),
            ("draining", "info"),
        ]
        url = f"http://127.0.0.1:{origin}"
        assert lines[2]["url"] == f"http://127.0.0.1:{port}"
        assert lines[2]["origin"] == url
        assert lines[3]["reason"] == "no connection (connection refused)"
        assert str(policy) in lines[6]["message"]
        assert {line["command"] for line in lines} == {"proxy"}

    asyncio.run(asyncio.wait_for(main(), 60))


def test_what_modules_log_is_an_event_too(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("penstock.inbound.proxy.access_log")
    with ProxyLog("json").libraries():
        logger.info("nothing")
        logger.warning("the access log loses lines: %s", "no space left on device")
        try:
            raise RuntimeError("own")
        except RuntimeError:
            logger.exception("the handler failed")
    logger.handlers.clear()
    first, second = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first["event"], first["level"]) == ("warning", "warning")
    assert first["message"] == "the access log loses lines: no space left on device"
    assert (second["event"], second["level"]) == ("error", "error")
    assert second["traceback"].endswith("RuntimeError: own")


@pytest.mark.real
def test_refused_connections_are_said_once_a_minute(tmp_path: Path) -> None:
    async def main() -> None:
        log = tmp_path / "log"
        more = ["--log", "json", "--max-connections-per-address", "2"]
        async with proxy(free_port(), log, *more) as (_, port):
            with contextlib.ExitStack() as stack:
                # Plain sockets: who is over twice the bound is reset, as soon as it is there.
                for _ in range(6):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                await comes(log, '"refused"')
        (line,) = [each for each in map(orjson.loads, log.read_text().splitlines()) if each["event"] == "refused"]
        assert (line["connections"], line["client"]) == (1, "127.0.0.1")
        assert (line["bound"], line["level"]) == ("max_connections_per_address", "warning")

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(("of_one", "bound"), [(True, "--max-connections-per-address"), (False, "--max-connections")])
def test_how_refused_connections_are_counted(capsys: pytest.CaptureFixture[str], of_one: bool, bound: str) -> None:
    # Two looks at the clock for each that is said, one for each that is not.
    moments = iter([0.0, 0.0, 1.0, 59.0, 60.0, 60.0, 61.0])
    refusals = Refusals(ProxyLog(), lambda: next(moments))
    for _ in range(5):
        refusals.refused("192.0.2.1", of_one)
    assert capsys.readouterr().err.splitlines() == [
        f"penstock: connections are refused ({count} since this was last said), the last one of 192.0.2.1: {bound}"
        for count in (1, 3)
    ]


@pytest.mark.real
def test_requests_that_come_back_are_seen_before_they_wait_for_themselves(tmp_path: Path) -> None:
    """Two proxies that send to each other. A GET joined its own flight, and hung."""

    async def main() -> None:
        one, two = free_port(), free_port()
        first, second = tmp_path / "one", tmp_path / "two"
        async with proxy(two, first, listen=one), proxy(one, second, listen=two):
            for method in ("GET", "HEAD", "POST", "GET"):
                answer = await ask(one, method)
                assert b" 508 " in answer
                assert method == "HEAD" or b"has come back to the proxy that sent it on" in answer
            await comes(first, "get 508")
        assert first.read_text().count("requests come back here") == 1
        assert "requests come back" not in second.read_text()

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.real
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The proxy looks at the start whether somebody listens: that connection brings nothing.
        if await reader.read(1):
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


@pytest.mark.real
def test_an_app_whose_clock_is_behind_is_cached_and_that_is_said_once(tmp_path: Path) -> None:
    """On standard error, and by explain; without a word the operator could not know."""
    calls = 0

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await reader.readuntil(b"\r\n\r\n")
        calls += 1
        date = format_http_date(time.time() - 120)
        writer.write(b"HTTP/1.1 200 OK\r\nDate: %b\r\nCache-Control: max-age=60\r\n" % date)
        writer.write(b"Content-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(late, "127.0.0.1", 0)
        origin = server.sockets[0].getsockname()[1]
        async with proxy(origin, tmp_path / "log") as (_, port):
            for _ in range(3):
                assert b"\r\n\r\nhi" in await get(port, "/same")
            assert calls == 1
            await get(port, "/other")
            said = [line for line in (tmp_path / "log").read_text().splitlines() if "clock" in line]
            assert len(said) == 1
            assert re.fullmatch(rf"penstock: the clock of http://127.0.0.1:{origin} is 12[01] s behind ours", said[0])
        command = ["-m", "penstock", "explain", f"http://127.0.0.1:{origin}/x"]
        ended = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        out, _ = await ended.communicate()
        assert re.search(rb"clock     the app's is 12[01] s behind ours", out)
        assert b"stored    yes" in out
        server.close()

    asyncio.run(asyncio.wait_for(main(), 60))


async def get(port: int, target: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer

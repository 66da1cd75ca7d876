"""What a client, the app and the log see of a request that another process has: the same as of one's own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from penstock.clock import current_clock
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.processes.asking_end import AskingEnd, Peer
from penstock.inbound.processes.duties import Duties
from penstock.inbound.processes.frames import hello
from penstock.inbound.processes.owner_end import Owner, OwnerEnd
from penstock.inbound.proxy.access_log import AccessLog
from penstock.testing import run_virtual
from penstock.wire.server import ServerLimits

from ..proxy.real_tools import Asked, run_real
from .crew import crew
from .fake_links import FakeLine, connected

FRESH = "Cache-Control: max-age=60"
FROM_THE_APP = ("date", "age", "cache-status")


async def fresh(asked: Asked) -> None:
    body = b"x" * 100
    await asked.answer(FRESH, 'ETag: "1"', "Last-Modified: Tue, 01 Dec 2020 00:00:00 GMT", body=body)


REQUESTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain": ("GET", ()),
    "as a browser": ("GET", ("User-Agent: x", "Accept: */*", "Cookie: a=b")),
    "HEAD": ("HEAD", ()),
    "a condition": ("GET", ('If-None-Match: "1"',)),
    "a range": ("GET", ("Range: bytes=10-19",)),
    "no range": ("GET", ("Range: bytes=1000-",)),
    "closing": ("GET", ("Connection: close",)),
    "OPTIONS": ("OPTIONS", ()),
    "with an empty body": ("POST", ("Content-Length: 0",)),
    "another address claimed": ("GET", ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_is_the_same_from_both(name: str) -> None:
    method, lines = REQUESTS[name]

    async def main() -> None:
        async with crew(fresh) as two:
            seen = []
            for owner in (0, 1):
                client = await two.connect(0)
                warm = await two.connect(0)
                await warm.get(two.target_of(owner))
                for _ in range(2):
                    await client.send(two.target_of(owner), *lines, method=method)
                    status, fields = await client.head()
                    body = b""
                    if method != "HEAD" and status != 304:
                        body = await client.reader.readexactly(int(fields["content-length"]))
                    seen.append((status, {n: v for n, v in fields.items() if n not in FROM_THE_APP}, body))
                    if fields.get("connection") == "close":
                        assert await client.reader.read() == b""
                        client = await two.connect(0)
            assert seen[:2] == seen[2:]
            asked = [{**each.fields, "target": ""} for each in two.origin.asked]
            assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]

    run_real(main)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_line_as_long_as_may_be_is_taken_by_both(version: str) -> None:
    """The head of a request with a body is written anew for its owner: no longer than it came."""

    async def main() -> None:
        async with crew(fresh) as two:
            for owner in (0, 1):
                client = await two.connect(0)
                lines = ["X:" + "y" * (ServerLimits.max_line_bytes - 2), "Host:shop", "Content-Length:1"]
                head = [f"POST {two.target_of(owner)} {version}", *lines, "", ""]
                client.writer.write("\r\n".join(head).encode() + b"b")
                assert (await client.head())[0] == 200

    run_real(main)


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    async def named(asked: Asked) -> None:
        await asked.answer(FRESH, body=asked.target.encode())

    async def main() -> None:
        async with crew(named) as two:
            targets = [two.target_of(number % 2, f"/{number}/") for number in range(30)]
            for _ in range(3):
                client = await two.connect(0)
                for target in targets:
                    client.writer.write(f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
                assert [(await client.answer())[2].decode() for _ in targets] == targets

    run_real(main)


def test_the_client_s_scheme_and_address_go_along() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.test").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def main() -> None:
        async with crew(fresh, tls=server_side) as two:
            target = two.target_of(1, scheme="https")
            client = await two.connect(0, client_side)
            for _ in range(3):
                assert (await client.get(target))[0] == 200
            (asked,) = two.origin.asked
            assert asked.fields["x-forwarded-proto"] == "https"
            assert asked.fields["x-forwarded-for"] == "127.0.0.1"
            assert two.members[1].proxy.store.get(f"https://shop{target}".encode()) is not None

    run_real(main)


def test_each_answer_has_one_line_in_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        log = AccessLog(current_clock(), tmp_path / "log")
        async with crew(fresh, access_log=log) as two:
            targets = [two.target_of(0), two.target_of(1)]
            for number in (0, 1):
                client = await two.connect(number)
                for target in targets * 3:
                    assert (await client.get(target))[0] == 200
            await two.kill(1)
            client = await two.connect(0)
            assert (await client.get(targets[1]))[0] == 200
        log.close()
        lines: list[dict[str, Any]] = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
        assert len(lines) == 13
        assert {line["client"] for line in lines} == {"127.0.0.1"}
        results = [line["cache"] for line in lines]
        assert (results.count("miss"), results.count("hit"), results.count("bypass")) == (2, 10, 1)

    run_real(main)


def test_a_policy_that_makes_two_urls_one_has_one_owner() -> None:
    async def main() -> None:
        policy = Policy(default=PathPolicy(drop_query=("utm_*",), sort_query=True))
        async with crew(fresh, policy=policy) as two:
            for number in (0, 1):
                client = await two.connect(number)
                for query in ("", "?utm_source=a", "?utm_source=b"):
                    for path in range(10):
                        await client.get(f"/{path}{query}")
            assert len(two.origin.asked) == 10

    run_real(main)


def test_after_an_unsafe_request_no_process_has_the_old_one() -> None:
    version = 0

    async def script(asked: Asked) -> None:
        nonlocal version
        if asked.method == "POST":
            version += 1
        await asked.answer(FRESH, body=b"%d" % version)

    async def main() -> None:
        async with crew(script) as two:
            clients = [await two.connect(number) for number in (0, 1)]
            for number in range(20):
                target = two.target_of(number % 2)
                await clients[number // 2 % 2].send(target, "Content-Length: 0", method="POST")
                assert (await clients[number // 2 % 2].answer())[0] == 200
                for client in clients:
                    assert (await client.get(target))[2] == b"%d" % version

    run_real(main)


def test_another_version_is_passed_by() -> None:
    async def main() -> None:
        owner = Owner(_nobody(), ServerLimits(), lambda _: None)
        peer = Peer()
        asking, owned = AskingEnd(peer, hello(b"of this version")), OwnerEnd(owner, hello(b"of that version"))
        _, _, there, back = connected(asking, owned)
        for pipe in (there, back):
            while pipe.waiting:
                pipe.move(_All())  # type: ignore[arg-type]
        assert peer.full
        assert not peer.came.is_set()
        assert asking.misunderstood or owned.misunderstood

    run_virtual(main())


def test_what_became_untrue_meanwhile_is_told_first_and_bounded() -> None:
    async def main() -> None:
        told: list[bytes | None] = []
        owner = Owner(_nobody(), ServerLimits(), told.append)
        for count in (2, 1500):
            told.clear()
            peer = Peer()
            for number in range(count):
                peer.untrue(b"http://shop/%d" % number)
            asking, owned = AskingEnd(peer, hello(b"x")), OwnerEnd(owner, hello(b"x"))
            _, _, there, back = connected(asking, owned)
            for _ in range(3):
                await asyncio.sleep(0)
                for pipe in (there, back):
                    while pipe.waiting:
                        pipe.move(_All())  # type: ignore[arg-type]
            assert len(told) == (2 if count == 2 else 1001)
            assert (None in told) == (count == 1500)

    run_virtual(main())


class _All:
    """No chance: everything at once."""

    def random(self) -> float:
        return 1.0


class _nobody:  # noqa: N801  # stands for a function
    def known(self, data: bytes) -> bytes | None:
        return None

    def begin(self, exchange: Any) -> None: ...


def test_clients_of_a_process_that_is_not_there_are_taken_by_another() -> None:
    async def main() -> None:
        async with crew(fresh) as two:
            socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
            duties = Duties(two.members[0], FakeLine(), _start, lambda _: "", _drain, socks)  # type: ignore[arg-type]
            port = socks[1].getsockname()[1]
            for covers in (True, False, True):
                await duties._carry_out("cover" if covers else "uncover", {"number": 1})
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
                if covers:
                    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
                else:
                    # Nobody takes it, until somebody covers again.
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await reader.read()
                writer.close()
            duties._leave()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    run_real(main)


async def _start() -> str:
    return ""


async def _drain(timeout: float) -> None: ...

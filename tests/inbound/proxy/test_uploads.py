"""Clients that send their bodies slowly do not hold the connections to the app: on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.inbound.proxy.proxy import Proxy

from .real_tools import Asked, Client, Rig, rig, run_real

pytestmark = pytest.mark.real

BUFFER = 64 * 1024
LONG = ("Content-Length: 1000000",)


async def takes_all(asked: Asked) -> None:
    """An app that reads the body, as a sync worker does, and says how long it was."""
    size = len(await asked.body()) if asked.method not in ("GET", "HEAD") else 0
    await asked.answer("Cache-Control: no-store", body=b"%d" % size)


async def until(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def assert_nothing_is_left(proxy: Proxy) -> None:
    uploads = proxy.uploads
    assert not uploads.under_way
    assert (uploads.held, uploads.turns.taken, uploads.turns.waiting) == (0, 0, 0)
    assert proxy.client.in_use == 0


async def begun(net: Rig, body: bytes, count: int, address: str = "127.0.0.1") -> list[Client]:
    """Clients of `address` that have sent the first of a million bytes."""
    clients = [await net.connect(local_addr=(address, 0)) for _ in range(count)]
    for client in clients:
        await client.send("/slow", *LONG, method="POST", body=body)
    return clients


@pytest.mark.parametrize("sent", [1, 1000, BUFFER], ids=["a byte", "some", "just what is read ahead"])
def test_slow_bodies_do_not_ask_the_app(sent: int) -> None:
    """Every other client got 502 for as long as it lasted."""

    async def main() -> None:
        async with rig(takes_all, origin_connections=4, first_byte_timeout=20.0) as net:
            slow = await begun(net, b"x" * sent, 20)
            await until(lambda: net.proxy.uploads.held == 20 * sent)
            other = await net.connect()
            async with asyncio.timeout(10):
                for n in range(20):
                    assert (await other.get(f"/{n}"))[0] == 200
                await other.send("/", "Content-Length: 3", method="POST", body=b"abc")
                assert (await other.answer())[::2] == (200, b"3")
            assert {asked.target for asked in net.origin.asked} == {"/", *(f"/{n}" for n in range(20))}
            for client in slow:
                client.writer.transport.abort()
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


def test_long_bodies_of_two_addresses_leave_connections_to_the_others() -> None:
    async def main() -> None:
        async with rig(takes_all, origin_connections=8, first_byte_timeout=20.0) as net:
            slow = [*await begun(net, b"x" * 100_000, 20), *await begun(net, b"x" * 100_000, 20, "127.0.0.2")]
            await until(lambda: net.proxy.uploads.turns.waiting == 37)
            assert (net.proxy.uploads.turns.taken, net.proxy.client.in_use) == (3, 3)
            other = await net.connect(local_addr=("127.0.0.3", 0))
            async with asyncio.timeout(10):
                for n in range(20):
                    assert (await other.get(f"/{n}"))[0] == 200
                for _ in range(5):
                    await other.send("/", "Content-Length: 300000", method="POST", body=b"x" * 300_000)
                    assert (await other.answer())[::2] == (200, b"300000")
            for client in slow:
                client.writer.transport.abort()
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


def test_who_waits_is_served_when_others_are_done() -> None:
    async def main() -> None:
        async with rig(takes_all, origin_connections=2, first_byte_timeout=20.0) as net:
            slow = await begun(net, b"x" * 100_000, 5)
            await until(lambda: net.proxy.uploads.turns.waiting == 4)
            # One of those that wait leaves, and nobody waits for it.
            slow.pop().writer.transport.abort()
            for client in slow:
                client.writer.write(b"x" * 900_000)
            assert [(await client.answer())[::2] for client in slow] == [(200, b"1000000")] * 4
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


def test_who_waits_too_long_gets_503() -> None:
    async def main() -> None:
        async with rig(takes_all, origin_connections=2, first_byte_timeout=0.5) as net:
            holder, waiter = await begun(net, b"x" * 100_000, 2)
            keeps_going = asyncio.ensure_future(trickle(holder))
            status, fields, _ = await waiter.answer()
            assert (status, fields["retry-after"]) == (503, "1")
            assert net.proxy.uploads.turns.waiting == 0
            keeps_going.cancel()

    run_real(main)


async def trickle(client: Client) -> None:
    while True:
        client.writer.write(b"x")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("expect", [False, True], ids=["", "expect"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, BUFFER - 1, BUFFER, BUFFER + 1, 5 * BUFFER])
def test_a_body_arrives_whole(size: int, chunked: bool, expect: bool) -> None:
    data = bytes(n % 251 for n in range(size))
    got: list[bytes] = []

    async def script(asked: Asked) -> None:
        got.append(await asked.body())
        await asked.answer()

    async def main() -> None:
        async with rig(script) as net:
            before = net.proxy.store.table_bytes
            client = await net.connect()
            lines = ["Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"]
            await client.send("/", *lines, *["Expect: 100-continue"] * expect, method="PUT")
            if expect:
                assert (await client.head())[0] == 100
                assert not net.origin.asked
            await send_in_pieces(client, data, chunked)
            assert (await client.answer())[0] == 200
            assert got == [data]
            fields = net.origin.asked[0].fields
            # What was read to its end has a length that is known.
            assert fields.get("content-length") == (None if chunked and size > BUFFER else str(size))
            assert ("transfer-encoding" in fields) == (chunked and size > BUFFER)
            await until(lambda: not net.proxy.uploads.under_way)
            assert net.proxy.uploads.held == net.proxy.store.table_bytes - before == 0

    run_real(main)


async def send_in_pieces(client: Client, data: bytes, chunked: bool) -> None:
    third = len(data) // 3 + 1
    for at in range(0, len(data), third):
        piece = data[at : at + third]
        client.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await asyncio.sleep(0.02)
    if chunked:
        client.writer.write(b"0\r\n\r\n")


@pytest.mark.parametrize("sent", [0, 10, 1000], ids=str)
@pytest.mark.parametrize("line", [LONG[0], "Transfer-Encoding: chunked"])
def test_a_client_that_leaves_was_never_there(sent: int, line: str) -> None:
    async def main() -> None:
        async with rig(takes_all) as net:
            client = await net.connect()
            body = b"%x\r\n" % 5000 + b"x" * sent if line.startswith("Transfer") else b"x" * sent
            await client.send("/", line, method="POST", body=body)
            await until(lambda: len(net.proxy.uploads.under_way) == 1 and net.proxy.uploads.held == sent)
            client.writer.close()
            await until(lambda: not net.proxy.uploads.under_way)
            assert not net.origin.asked
            assert_nothing_is_left(net.proxy)

    run_real(main)


@pytest.mark.parametrize("sent", [8_000, 50_000])
def test_what_is_read_ahead_is_bounded_in_all(sent: int) -> None:
    """Beyond it bodies go on at once, as many as have a turn; others are refused."""

    async def main() -> None:
        # A sixteenth: 16 KiB, for two of 8,000 bytes and for none of 50,000.
        async with rig(takes_all, memory=256 * 1024, origin_connections=8) as net:
            before = net.proxy.store.table_bytes
            clients = await begun(net, b"x" * sent, 6)
            fit = 16 * 1024 // sent
            await until(lambda: len(net.proxy.uploads.under_way) == fit + 2)
            assert net.proxy.uploads.held <= 16 * 1024
            assert net.proxy.store.table_bytes - before == net.proxy.uploads.held
            refused = [client for client in clients if await is_answered(client)]
            assert len(refused) == 4 - fit
            for client in refused:
                assert (await client.answer())[0] == 503
            for client in clients:
                client.writer.transport.abort()
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


async def is_answered(client: Client) -> bool:
    await asyncio.sleep(0.05)
    return bool(client.reader._buffer)  # type: ignore[attr-defined]


def test_without_a_buffer_a_body_goes_on_as_it_comes() -> None:
    async def main() -> None:
        async with rig(takes_all, request_buffer=0) as net:
            client = await net.connect()
            await client.send("/", "Content-Length: 3", method="POST", body=b"a")
            await until(lambda: len(net.origin.asked) == 1)
            client.writer.write(b"bc")
            assert (await client.answer())[::2] == (200, b"3")
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_has_come_whole_waits_for_nobody(framing: str) -> None:
    """Where others hold all turns and all that may be read ahead, it needs neither; it got 503."""

    async def main() -> None:
        # A sixteenth: 16 KiB, which two of 8 KiB fill; and one turn.
        async with rig(takes_all, memory=256 * 1024, origin_connections=3, request_buffer=10_000) as net:
            await begun(net, b"x" * 10_001, 1, "127.0.0.2")
            await until(lambda: net.proxy.uploads.turns.taken == 1)
            await begun(net, b"x" * 8_192, 2, "127.0.0.3")
            await until(lambda: net.proxy.uploads.held == 16 * 1024)
            other = await net.connect()
            for _ in range(2):
                if framing == "length":
                    await other.send("/", "Content-Length: 3", method="POST", body=b"abc")
                else:
                    await other.send("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n0\r\n\r\n")
                assert (await other.answer())[::2] == (200, b"3")
            assert net.proxy.uploads.held == 16 * 1024

    run_real(main)


@pytest.mark.parametrize("lines", [LONG, ("Transfer-Encoding: chunked",), (*LONG, "Expect: 100-continue")])
def test_without_a_buffer_the_app_is_asked_before_the_body_comes(lines: tuple[str, ...]) -> None:
    """So that it can answer by the head alone, or talk with its client; it was asked with the first byte."""

    async def answers_at_once(asked: Asked) -> None:
        await asked.answer(status="413 Content Too Large")

    async def main() -> None:
        async with rig(answers_at_once, request_buffer=0) as net:
            client = await net.connect()
            await client.send("/", *lines, method="POST")
            async with asyncio.timeout(10):
                status, _ = await client.head()
                assert (await client.head() if status == 100 else (status,))[0] == 413
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


def test_without_a_buffer_a_chunked_body_arrives_whole() -> None:
    async def main() -> None:
        async with rig(takes_all, request_buffer=0, origin_connections=3) as net:
            # One after the other, in one turn: the second waits before anything of its body is read.
            clients = [await net.connect() for _ in range(2)]
            for client in clients:
                await client.send("/", "Transfer-Encoding: chunked", method="POST")
            await until(lambda: (len(net.origin.asked), net.proxy.uploads.turns.waiting) == (1, 1))
            for client in clients:
                client.writer.write(b"3\r\nabc\r\n")
                await asyncio.sleep(0.02)
                client.writer.write(b"2\r\nde\r\n0\r\n\r\n")
                assert (await client.answer())[::2] == (200, b"5")
            await until(lambda: not net.proxy.uploads.under_way)
            assert_nothing_is_left(net.proxy)

    run_real(main)


@pytest.mark.parametrize(("method", "status"), [("PUT", 200), ("DELETE", 200), ("POST", 502)])
def test_a_whole_body_is_sent_again_where_that_is_safe(method: str, status: int) -> None:
    """On a kept connection that the app closes just then (RFC 9110, 9.2.2)."""

    async def script(asked: Asked) -> None:
        if asked.nth == 2:
            asked.writer.close()
        else:
            await takes_all(asked)

    async def main() -> None:
        async with rig(script) as net:
            client = await net.connect()
            assert (await client.get())[0] == 200
            await client.send("/", "Content-Length: 3", method=method, body=b"abc")
            assert (await client.answer())[0] == status

    run_real(main)


def test_behind_a_proxy_of_ours_the_address_is_the_one_that_it_has_seen() -> None:
    async def main() -> None:
        async with rig(takes_all, origin_connections=8, trust_forwarded=True) as net:
            for address in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"):
                client = await net.connect()
                await client.send(
                    "/", *LONG, f"X-Forwarded-For: 10.9.8.7, {address}", method="POST", body=b"x" * 100_000
                )
            await until(lambda: (net.proxy.uploads.turns.taken, net.proxy.uploads.turns.waiting) == (3, 1))

    run_real(main)

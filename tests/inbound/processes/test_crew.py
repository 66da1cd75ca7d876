"""Requests to one process of URLs that belong to another: answered as if there were one."""

from __future__ import annotations

import asyncio

import pytest

from ..proxy.real_tools import Asked, run_real
from .crew import crew

FRESH = "Cache-Control: max-age=60"


async def fresh(asked: Asked) -> None:
    await asked.answer(FRESH, body=asked.target.encode())


@pytest.mark.parametrize("has_client", [0, 1])
@pytest.mark.parametrize("owner", [0, 1])
def test_a_url_is_stored_once_and_answers_everybody(has_client: int, owner: int) -> None:
    async def main() -> None:
        async with crew(fresh) as two:
            target = two.target_of(owner)
            first, second = await two.connect(has_client), await two.connect(1 - has_client)
            status, fields, body = await first.get(target)
            assert (status, body) == (200, target.encode())
            assert fields["cache-status"] == "penstock; fwd=uri-miss; stored"
            for client in (first, second) * 3:
                status, fields, body = await client.get(target)
                assert (status, body) == (200, target.encode())
                assert fields["cache-status"].startswith("penstock; hit")
            assert len(two.origin.asked) == 1
            stored = [member.proxy.store.objects for member in two.members]
            assert stored == [int(owner == 0), int(owner == 1)]
            # Each request is counted once, by the owner.
            assert [member.proxy.engine.counters.requests for member in two.members] == [
                7 if owner == 0 else 0,
                7 if owner == 1 else 0,
            ]

    run_real(main)


def test_a_crowd_of_both_processes_is_one_call() -> None:
    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.3)
        await fresh(asked)

    async def main() -> None:
        async with crew(slow) as two:
            target = two.target_of(1)
            clients = [await two.connect(number % 2) for number in range(300)]
            answers = await asyncio.gather(*(client.get(target) for client in clients))
            assert {(status, body) for status, _, body in answers} == {(200, target.encode())}
            assert len(two.origin.asked) == 1

    run_real(main)


@pytest.mark.parametrize("owner", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_requests_arrive(owner: int, size: int, chunked: bool) -> None:
    async def echo(asked: Asked) -> None:
        body = await asked.body() if size else b""
        await asked.answer("Cache-Control: no-store", body=b"%d %d" % (len(body), sum(body[::1000])))

    async def main() -> None:
        async with crew(echo) as two:
            client = await two.connect(0)
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            framing = ("Transfer-Encoding: chunked",) if chunked and size else (f"Content-Length: {size}",)
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked and size else body
            for _ in range(2):
                await client.send(two.target_of(owner), *framing, method="POST", body=sent)
                status, _, answer = await client.answer()
                assert (status, answer) == (200, b"%d %d" % (size, sum(body[::1000])))

    run_real(main)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("known_length", [False, True])
def test_large_answers_arrive(stored: bool, known_length: bool) -> None:
    whole = bytes(range(256)) * 20_000

    async def large(asked: Asked) -> None:
        said = FRESH if stored else "Cache-Control: no-store"
        if known_length:
            await asked.answer(said, body=whole)
        else:
            await asked.send(
                f"HTTP/1.1 200 OK\r\n{said}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                + b"%x\r\n%b\r\n0\r\n\r\n" % (len(whole), whole)
            )

    async def main() -> None:
        async with crew(large) as two:
            client = await two.connect(0)
            for _ in range(3):
                status, _, body = await client.get(two.target_of(1))
                assert status == 200
                assert body == whole
            assert len(two.origin.asked) == (1 if stored else 3)

    run_real(main)


def test_a_client_that_takes_nothing_holds_up_nobody() -> None:
    """And what is kept for it is bounded by its window and what the kernel has room for."""
    whole = b"x" * 30_000_000

    async def large(asked: Asked) -> None:
        await asked.answer("Cache-Control: no-store", body=whole if asked.target.startswith("/large") else b"small")

    async def main() -> None:
        async with crew(large) as two:
            slow = await two.connect(0, limit=1024)
            await slow.send(two.target_of(1, "/large"))
            await slow.head()
            await asyncio.sleep(0.2)
            quick = await two.connect(0)
            for _ in range(20):
                async with asyncio.timeout(2):
                    assert (await quick.get(two.target_of(1)))[2] == b"small"
            (end,) = two.members[1]._owner.ends
            (channel,) = end.channels.values()
            assert sum(map(len, channel._unsent)) < 2_000_000
            assert (await slow.reader.readexactly(len(whole))) == whole

    run_real(main)


def test_the_owner_is_told_that_a_client_has_gone() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def never(asked: Asked) -> None:
            await asked.send(b"HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 90000000\r\n\r\nbegin")
            try:
                # Whoever has only closed its sending half is still there: it is seen when it takes nothing more.
                while not asked.reader.at_eof():
                    await asked.send(b"more")
                    await asyncio.sleep(0.01)
            finally:
                gone.set()

        async with crew(never) as two:
            client = await two.connect(0)
            await client.send(two.target_of(1))
            await client.head()
            client.writer.transport.abort()
            async with asyncio.timeout(5):
                await gone.wait()

    run_real(main)


def test_an_owner_that_has_gone_is_done_without_until_it_is_back() -> None:
    async def main() -> None:
        async with crew(fresh) as two:
            target, other = two.target_of(1), two.target_of(1, "/other")
            client = await two.connect(0)
            for _ in range(3):
                assert (await client.get(target))[0] == 200
            await two.kill(1)
            for path in (target, other) * 2:
                status, fields, body = await client.get(path)
                assert (status, body) == (200, path.encode())
                assert fields["cache-status"] == "penstock; fwd=bypass; detail=owner-down"
            assert two.members[0].proxy.store.objects == 0
            status, fields, _ = await client.get(two.target_of(0))
            assert fields["cache-status"] == "penstock; fwd=uri-miss; stored"

    run_real(main)


@pytest.mark.parametrize(
    ("method", "status", "calls"), [("GET", 200, 2), ("HEAD", 200, 2), ("DELETE", 200, 2), ("POST", 502, 1)]
)
@pytest.mark.parametrize("known", [False, True])
def test_what_was_asked_of_an_owner_that_dies_is_asked_once_more_where_that_does_no_harm(
    method: str, status: int, calls: int, known: bool
) -> None:
    async def main() -> None:
        hold, over = asyncio.Event(), asyncio.Event()

        async def script(asked: Asked) -> None:
            if known and not hold.is_set() and asked.nth == 1 and len(two.origin.asked) == 1:
                await fresh(asked)
                return
            if not hold.is_set():
                hold.set()
                await over.wait()
                return
            if asked.method == "HEAD":
                await asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            else:
                await asked.answer(FRESH)

        async with crew(script) as two:
            client = await two.connect(0)
            target = two.target_of(1)
            if known:
                # The same bytes, so that the next is passed on without being parsed.
                await client.get(target)
                two.members[1].proxy.purge(everything=True)
            before = len(two.origin.asked)
            await client.send(target, method=method)
            async with asyncio.timeout(5):
                await hold.wait()
            await two.kill(1)
            found, fields = await client.head()
            assert found == status
            if status == 200:
                assert fields["cache-status"] == "penstock; fwd=bypass; detail=owner-down" or method == "DELETE"
            assert len(two.origin.asked) - before == calls
            over.set()

    run_real(main)


def test_an_unsafe_request_makes_untrue_what_another_process_has() -> None:
    async def script(asked: Asked) -> None:
        if asked.method == "POST":
            await asked.answer(f"Location: {asked.fields['x-makes']}")
        else:
            await fresh(asked)

    async def main() -> None:
        async with crew(script) as two:
            one, other = two.target_of(0), two.target_of(1)
            client = await two.connect(0)
            await client.get(other)
            await client.send(one, f"X-Makes: {other}", "Content-Length: 0", method="POST")
            await client.answer()
            await asyncio.sleep(0.05)
            assert (await client.get(other))[1]["cache-status"] == "penstock; fwd=uri-miss; stored"

    run_real(main)

"""The first byte of a range comes when the app's does, through both faces, cold and joined, in HTTP/1.0 too.

The app holds back the end of its answer until the client has its beginning: who waits for all never ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock import CacheMiddleware
from penstock.testing import run_virtual

from .asgi.clients import Client
from .proxy.real_tools import Asked, head, rig, run_real

BODY = b"0123456789" * 10
FORMS = {
    "bytes=0-": (206, BODY),
    "bytes=5-9": (206, BODY[5:10]),
    "bytes=90-": (206, BODY[90:]),
    "bytes=-20": (206, BODY[-20:]),
    "bytes=-500": (206, BODY),
    "bytes=0-1,4-5": (200, BODY),
    "bytes=9-2": (200, BODY),
    "lines=1-2": (200, BODY),
    "bytes=200-": (416, b""),
}


class Held:
    """An ASGI app and the script of an origin: half of the answer, and the rest when it is let go."""

    def __init__(self, *, known: bool) -> None:
        self.known = known
        self.let_go = asyncio.Event()
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        length = [(b"content-length", b"%d" % len(BODY))] if self.known else []
        fields = [(b"cache-control", b"max-age=60"), *length]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": BODY[:50], "more_body": True})
        await self.let_go.wait()
        await send({"type": "http.response.body", "body": BODY[50:]})

    async def script(self, asked: Asked) -> None:
        self.calls += 1
        if self.known:
            await asked.send(head("Cache-Control: max-age=60", f"Content-Length: {len(BODY)}") + BODY[:50])
            await self.let_go.wait()
            await asked.send(BODY[50:])
        else:
            await asked.send(head("Cache-Control: max-age=60", "Transfer-Encoding: chunked"))
            await asked.send(b"32\r\n" + BODY[:50] + b"\r\n")
            await self.let_go.wait()
            await asked.send(b"32\r\n" + BODY[50:] + b"\r\n0\r\n\r\n")


def expected(wanted: str, *, known: bool) -> tuple[int, bytes]:
    return FORMS[wanted] if known else (200, BODY)


@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("joins", [False, True], ids=["leader", "joins"])
@pytest.mark.parametrize("wanted", FORMS)
def test_in_the_middleware(wanted: str, *, joins: bool, known: bool) -> None:
    async def main() -> None:
        app = Held(known=known)
        cache = CacheMiddleware(app)
        plain = Client(cache)
        async with asyncio.TaskGroup() as tasks:
            if joins:
                tasks.create_task(plain.go())
                await asyncio.sleep(0.01)
            ranged = Client(cache, fields=[(b"range", wanted.encode())])
            tasks.create_task(ranged.go())
            await asyncio.sleep(0.01)
            status, body = expected(wanted, known=known)
            assert ranged.status == status, "the head is there before the end of the app's answer"
            app.let_go.set()
        assert (ranged.body, ranged.complete) == (body, True)
        assert not joins or (plain.status, plain.body) == (200, BODY)

    run_virtual(main())


@pytest.mark.real
@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("joins", [False, True], ids=["leader", "joins"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_through_the_proxy(version: str, *, joins: bool, known: bool) -> None:
    async def main() -> None:
        for wanted in FORMS:
            app = Held(known=known)
            async with rig(app.script) as here:
                if joins:
                    plain = await here.connect()
                    await plain.send("/")
                    await plain.head()
                client = await here.connect()
                client.writer.write(f"GET / HTTP/{version}\r\nHost: shop\r\nRange: {wanted}\r\n\r\n".encode())
                status, fields = await client.head()
                app.let_go.set()
                found, body = expected(wanted, known=known)
                assert status == found, wanted
                if "content-length" in fields:
                    assert await client.reader.readexactly(int(fields["content-length"])) == body
                elif version == "1.0":
                    assert await client.reader.read() == body
                else:
                    pieces = [await client.chunk()]
                    while pieces[-1]:
                        pieces.append(await client.chunk())
                    assert b"".join(pieces) == body

    run_real(main)


@pytest.mark.real
def test_twenty_cold_ranges_are_one_request_through_the_proxy() -> None:
    async def main() -> None:
        app = Held(known=True)
        async with rig(app.script) as here:
            clients = [await here.connect() for _ in range(20)]
            for n, client in enumerate(clients):
                await client.send("/", f"Range: bytes={n * 5}-{n * 5 + 4}")
            heads = [await client.head() for client in clients]
            app.let_go.set()
            assert [status for status, _ in heads] == [206] * 20
            for n, client in enumerate(clients):
                assert await client.reader.readexactly(5) == BODY[n * 5 : n * 5 + 5]
            assert app.calls == 1

    run_real(main)


def test_twenty_cold_ranges_are_one_call_of_the_app_in_the_middleware() -> None:
    async def main() -> None:
        for option, calls in ((None, 1), ("50B", 21), (0, 20)):
            app = Held(known=True)
            app.let_go.set()
            cache = CacheMiddleware(app, whole_ranges=option)
            clients = [Client(cache, fields=[(b"range", b"bytes=%d-%d" % (n * 5, n * 5 + 4))]) for n in range(20)]
            async with asyncio.TaskGroup() as tasks:
                for client in clients:
                    tasks.create_task(client.go())
            assert [client.body for client in clients] == [BODY[n * 5 : n * 5 + 5] for n in range(20)]
            assert app.calls <= calls

    run_virtual(main())

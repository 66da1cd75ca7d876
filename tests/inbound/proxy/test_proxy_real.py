"""The proxy between real sockets: what streams, what breaks, what is repeated, and what goes along."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from . import real_tools
from .real_tools import Asked, Client, head, rig, run_real

pytestmark = pytest.mark.real

FRESH = "Cache-Control: max-age=60"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(autouse=True, params=[True, False], ids=["plain path", "general"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_tools, "PLAIN_PATH", request.param)


@pytest.mark.parametrize("control", [FRESH, "Cache-Control: private", "Content-Type: text/event-stream"])
def test_a_body_passes_before_it_ends(control: str) -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def script(asked: Asked) -> None:
            await asked.send(head(control, CHUNKED) + b"4\r\none \r\n")
            await more.wait()
            await asked.send(b"3\r\ntwo\r\n0\r\n\r\n")

        async with rig(script) as net:
            client = await net.connect()
            await client.send()
            status, _ = await client.head()
            assert (status, await client.chunk()) == (200, b"one ")
            more.set()
            assert (await client.chunk(), await client.chunk()) == (b"two", b"")

    run_real(main)


def test_two_hundred_cold_clients_and_one_request() -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.send(head(FRESH, "Content-Length: 100000"))
            for _ in range(10):
                await asked.send(b"x" * 10_000)
                await asyncio.sleep(0)

        async with rig(script) as net:
            clients = [await net.connect() for _ in range(200)]
            answers = await asyncio.gather(*(client.get() for client in clients))
            assert {(status, len(body)) for status, _, body in answers} == {(200, 100_000)}
            assert len(net.origin.asked) == 1
            assert not net.proxy.engine.flights

    run_real(main)


def test_two_hundred_clients_of_private_answers_are_released_in_parallel() -> None:
    async def main() -> None:
        here = 0
        all_here = asyncio.Event()

        async def script(asked: Asked) -> None:
            nonlocal here
            here += 1
            if here == 200:
                all_here.set()
            body = asked.fields["x-user"].encode()
            await asked.send(head("Cache-Control: private", f"Content-Length: {len(body)}"))
            # Nobody has a whole answer before all have been asked: one after the other would never end.
            await all_here.wait()
            await asked.send(body)

        async with rig(script) as net:
            clients = [await net.connect() for _ in range(200)]
            answers = await asyncio.gather(*(c.get("/", f"X-User: {n}") for n, c in enumerate(clients)))
            assert [body for *_, body in answers] == [str(n).encode() for n in range(200)]

    run_real(main)


@pytest.mark.parametrize("framing", ["Content-Length: 100", CHUNKED])
@pytest.mark.parametrize("control", [FRESH, "Cache-Control: private"])
def test_an_origin_killed_in_the_body_shows_to_the_client(framing: str, control: str) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def script(asked: Asked) -> None:
            await asked.send(head(control, framing) + b"4\r\nhalf\r\n")
            await go.wait()
            asked.writer.transport.abort()

        async with rig(script) as net:
            client = await net.connect()
            await client.send()
            assert (await client.head())[0] == 200
            await client.reader.readexactly(4)
            go.set()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.reader.readexactly(1000)
            assert net.proxy.store.objects == 0

    run_real(main)


MALFORMED = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: a\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX A: a\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nCache-Control: max-age=9\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 099 Odd\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_answer_is_a_502_or_made_well_formed(data: bytes) -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.send(data)
            asked.writer.close()

        async with rig(script) as net:
            client = await net.connect()
            status, fields, _ = await client.get()
            # A folded line is the one that a proxy may mend (RFC 9112, 5.2).
            folded = b"\r\n b" in data
            assert status == 502 or (folded and status == 200), (status, fields)
            assert net.proxy.store.objects == (status == 200)

    run_real(main)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH"])
def test_a_kept_connection_that_the_origin_closed(method: str) -> None:
    """What may be repeated is, once and on a new connection; what may not has reached the origin at most once."""

    async def main() -> None:
        async def script(asked: Asked) -> None:
            if asked.nth == 2:
                asked.writer.transport.abort()
                return
            await asked.answer("Cache-Control: no-store")

        async with rig(script) as net:
            client = await net.connect()
            await client.get("/first")
            await client.send("/second", method=method)
            status, _fields = await client.head()
            targets = [asked.target for asked in net.origin.asked]
            if method in {"GET", "HEAD"}:
                assert status == 200
                assert targets == ["/first", "/second", "/second"]
            else:
                assert status == 502
                assert targets == ["/first", "/second"]

    run_real(main)


@pytest.mark.parametrize("seconds", [0.0, 0.002])
def test_few_posts_are_lost_to_an_origin_that_closes_after_each_answer(seconds: float) -> None:
    """It does not say so. Half of all were answered with 502, although the origin was well."""

    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.answer("Connection: keep-alive")
            await asyncio.sleep(seconds)
            asked.writer.close()

        async with rig(script) as net:

            async def post() -> list[int]:
                client = await net.connect()
                statuses = []
                for _ in range(20):
                    await client.send("/", "Content-Length: 0", method="POST")
                    statuses.append((await client.answer())[0])
                return statuses

            statuses = [status for each in await asyncio.gather(*(post() for _ in range(10))) for status in each]
            assert set(statuses) <= {200, 502}
            assert statuses.count(502) <= 4
            assert len(statuses) == 200

    run_real(main)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expect", [False, True])
def test_a_request_body_reaches_the_origin_whole(chunked: bool, expect: bool) -> None:
    async def main() -> None:
        got = b""

        async def script(asked: Asked) -> None:
            nonlocal got
            got = await asked.body()
            await asked.answer()

        async with rig(script) as net:
            client = await net.connect()
            data = bytes(range(256)) * 2000
            lines = [CHUNKED if chunked else f"Content-Length: {len(data)}"]
            lines += ["Expect: 100-continue"] if expect else []
            await client.send("/", *lines, method="POST")
            if expect:
                assert (await client.head())[0] == 100
            for at in range(0, len(data), 100_000):
                piece = data[at : at + 100_000]
                client.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await client.writer.drain()
            if chunked:
                client.writer.write(b"0\r\n\r\n")
            status, _, body = await client.answer()
            assert (status, body, got) == (200, b"body", data)
            assert "expect" not in net.origin.asked[0].fields

    run_real(main)


def test_an_answer_that_comes_before_the_body_was_sent() -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.answer(status="413 Content Too Large", body=b"no")
            asked.writer.close()

        async with rig(script) as net:
            client = await net.connect()
            await client.send("/", "Content-Length: 1000000", method="POST", body=b"x" * 100_000)
            assert (await client.answer())[::2] == (413, b"no")
            other = await net.connect()
            await other.send("/", "Content-Length: 2", method="POST", body=b"ok")
            assert (await other.answer())[0] == 413

    run_real(main)


def test_a_client_that_breaks_off_its_body_breaks_off_the_request() -> None:
    async def main() -> None:
        seen = asyncio.Event()
        broken = asyncio.Event()

        async def script(asked: Asked) -> None:
            seen.set()
            try:
                await asked.body()
            finally:
                broken.set()

        async with rig(script) as net:
            client = await net.connect()
            await client.send("/", "Content-Length: 1000000", method="POST", body=b"x" * 100_000)
            await seen.wait()
            client.writer.close()
            await broken.wait()
            assert net.proxy.client.in_use == 0
            assert not net.proxy.engine.flights

    run_real(main)


def test_clients_over_tls() -> None:
    async def main() -> None:
        ca = trustme.CA()
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("shop.test").configure_cert(server_side)
        client_side = ssl.create_default_context()
        ca.configure_trust(client_side)

        async def script(asked: Asked) -> None:
            await asked.answer(FRESH, body=asked.fields["x-forwarded-proto"].encode())

        async with rig(script, tls=server_side) as net:
            client = await net.connect(client_side)
            assert (await client.get())[2] == b"https"
            assert "hit" in (await client.get())[1]["cache-status"]
            assert len(net.origin.asked) == 1

    run_real(main)


def test_interim_answers_go_to_the_client() -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.send(head("Link: </a.css>; rel=preload", status="103 Early Hints"))
            await asked.send(head(status="100 Continue"))
            await asked.answer()

        async with rig(script) as net:
            client = await net.connect()
            await client.send()
            status, fields = await client.head()
            assert (status, fields["link"]) == (103, "</a.css>; rel=preload")
            assert (await client.answer())[0] == 200

    run_real(main)


CLAIMS = (
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Host: evil",
    "X-Real-IP: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
)


@pytest.mark.parametrize("trust", [False, True])
def test_what_a_client_claims_of_where_it_comes_from_is_replaced(trust: bool) -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.answer()

        async with rig(script, trust_forwarded=trust) as net:
            client = await net.connect()
            await client.get("/", *CLAIMS, "Via: 1.0 other")
            sent = net.origin.asked[0].fields
            assert sent["via"] == "1.0 other, 1.1 " + net.proxy.handler.name.decode()
            if trust:
                assert sent["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
                assert (sent["x-forwarded-proto"], sent["forwarded"]) == ("gopher", "for=1.2.3.4")
            else:
                assert sent["x-forwarded-for"] == "127.0.0.1"
                assert (sent["x-forwarded-proto"], sent["x-forwarded-host"]) == ("http", "shop")
                assert "forwarded" not in sent
                assert "x-real-ip" not in sent
            assert len([name for name, _ in net.origin.asked[0].lines if name.lower() == "host"]) == 1

    run_real(main)


def test_fields_of_one_hop_stay_on_it() -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.answer(FRESH, "Connection: X-Mine", "X-Mine: 1", "Keep-Alive: timeout=9", "X-End: 1")

        async with rig(script) as net:
            client = await net.connect()
            lines = ("Connection: X-Own, keep-alive", "X-Own: 1", "TE: trailers", "Upgrade: h2c", "X-End: 2")
            for _ in range(2):
                _, fields, _ = await client.get("/", *lines)
                assert "x-mine" not in fields
                assert "keep-alive" not in fields
                assert fields["x-end"] == "1"
            sent = net.origin.asked[0].fields
            assert not {"x-own", "te", "upgrade", "connection"} & set(sent)
            assert sent["x-end"] == "2"

    run_real(main)


def test_draining_lets_what_is_under_way_end() -> None:
    async def main() -> None:
        asked_one, go = asyncio.Event(), asyncio.Event()

        async def script(asked: Asked) -> None:
            asked_one.set()
            await go.wait()
            await asked.answer()

        async with rig(script) as net:
            client: Client = await net.connect()
            await client.send()
            await asked_one.wait()
            port = net.proxy.port
            closing = asyncio.ensure_future(net.proxy.aclose(10.0))
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            go.set()
            assert (await client.answer())[::2] == (200, b"body")
            await closing

    run_real(main)


def test_a_long_upload_is_not_taken_for_a_silent_origin() -> None:
    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.body()
            await asked.answer()

        async with rig(script, first_byte_timeout=2.0, request_buffer=0) as net:
            client = await net.connect()
            await client.send("/", "Content-Length: 10", method="POST")
            for _ in range(10):
                client.writer.write(b"x")
                await asyncio.sleep(0.25)
            assert (await client.answer())[0] == 200

    run_real(main)


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 408)])
def test_a_goodbye_of_the_origin_that_crosses_a_request(method: str, status: int) -> None:
    """RFC 9110, 15.5.9: it had waited for a request on a kept connection. Clients got it as the answer to theirs."""

    async def main() -> None:
        async def script(asked: Asked) -> None:
            if asked.nth == 2:
                await asked.answer("Connection: close", status="408 Request Timeout", body=b"")
                asked.writer.close()
            else:
                await asked.answer("Cache-Control: no-store", body=b"")

        async with rig(script) as net:
            client = await net.connect()
            assert (await client.get("/first"))[0] == 200
            await client.send("/second", *(["Content-Length: 0"] if method == "POST" else []), method=method)
            assert (await client.head())[0] == status
            repeated = ["/second"] if status == 200 else []
            assert [each.target for each in net.origin.asked] == ["/first", "/second", *repeated]
            assert net.proxy.watched().origin_unasked == 0

    run_real(main)

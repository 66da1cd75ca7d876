"""What every client must do alike, against exact bytes on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib

import brotli
import pytest
import zstandard

from penstock.errors import (
    BadBody,
    CallError,
    ConnectError,
    ConnectionLost,
    DnsError,
    ProtocolError,
    ResponseTooLarge,
    Sent,
    UsageError,
)
from penstock.messages import Headers, Request, Response

from .conftest import Bench
from .scripted_server import OK, Peer, Script, always, by_path, once, response, serving

pytestmark = pytest.mark.real


def call(bench: Bench, script: Script, request: Request | None = None, **options: object) -> Response:
    """Make one call to a server that runs `script`; its path is that of `request`'s URL."""
    result: list[Response] = []

    async def test() -> None:
        async with serving(script) as server, bench.client(**options) as client:
            given = request or Request("GET", "/")
            result.append(await client(Request(given.method, server.url + given.url, given.headers, given.body)))

    bench.run(test)
    return result[0]


def request_of(bench: Bench, request: Request, **options: object) -> bytes:
    """The bytes a server sees of `request`."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)

    call(bench, script, request, **options)
    return seen[0]


def test_a_response_comes_back_whole(bench: Bench) -> None:
    got = call(bench, once(response("201 Created", b"hello", "X-One: 1", "X-One: 2")))
    assert (got.status, got.body) == (201, b"hello")
    assert got.headers.get_all("x-one") == ["1", "2"]
    assert got.url.endswith("/")


def test_a_body_is_sent_with_its_length(bench: Bench) -> None:
    seen = request_of(bench, Request("POST", "/a?b=c", {"X-A": "1"}, b"0123456789"))
    assert seen.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 10\r\n" in seen
    assert b"\r\nX-A: 1\r\n" in seen
    assert seen.endswith(b"\r\n\r\n0123456789")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_empty_body_is_said_to_be_empty(bench: Bench, method: str) -> None:
    assert b"\r\ncontent-length: 0\r\n" in request_of(bench, Request(method, "/")).lower()


def test_a_get_says_nothing_of_a_body(bench: Bench) -> None:
    assert b"content-length" not in request_of(bench, Request("GET", "/")).lower()


def test_default_fields(bench: Bench) -> None:
    seen = request_of(bench, Request("GET", "/"))
    assert b"\r\nUser-Agent: penstock/" in seen
    assert b"\r\nHost: 127.0.0.1:" in seen
    assert b"\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" in seen


def test_given_fields_win_over_default_fields(bench: Bench) -> None:
    given = {"user-agent": "me", "host": "example.com", "accept-encoding": "identity"}
    seen = request_of(bench, Request("GET", "/", given)).lower()
    assert b"\r\nuser-agent: me\r\n" in seen
    assert b"\r\nhost: example.com\r\n" in seen
    assert b"\r\naccept-encoding: identity\r\n" in seen
    assert seen.count(b"\r\nuser-agent:") == seen.count(b"\r\nhost:") == 1


def test_the_fragment_is_not_sent(bench: Bench) -> None:
    assert request_of(bench, Request("GET", "/a#secret")).startswith(b"GET /a HTTP/1.1\r\n")


def test_a_percent_encoded_target_is_sent_as_it_is(bench: Bench) -> None:
    target = "/a%2Fb/%7e/../c?q=%C3%A9&x=a+b;,'()"
    assert request_of(bench, Request("GET", target)).startswith(f"GET {target} HTTP/1.1\r\n".encode())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "length": response("200 OK", b"hello"),
    "chunked": CHUNKED + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
    "chunked with trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.0 until close": b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello",
    "HTTP/1.0 with length": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + response("200 OK", b"hello"),
    "after 103 Early Hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response("200 OK", b"hello"),
    "without reason": b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
def test_every_framing_gives_the_same_body(bench: Bench, data: bytes) -> None:
    got = call(bench, once(data))
    assert (got.status, got.body) == (200, b"hello")


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
def test_every_framing_survives_arriving_byte_by_byte(bench: Bench, data: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for i in range(len(data)):
            await peer.send(data[i : i + 1])
            await asyncio.sleep(0)

    assert call(bench, script).body == b"hello"


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_these_statuses_have_no_body(bench: Bench, method: str, status: str) -> None:
    got = call(bench, always(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()), Request(method, "/"))
    assert (got.status, got.body) == (int(status[:3]), b"")


def test_head_has_no_body_though_a_length(bench: Bench) -> None:
    got = call(bench, always(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), Request("HEAD", "/"))
    assert (got.status, got.body, got.headers.get("content-length")) == (200, b"", "5000")


def test_connections_are_reused(bench: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server, bench.client() as client:
            for _ in range(5):
                assert (await client(Request("GET", server.url))).body == b"ok"
            assert server.connections == 1

    bench.run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_connections_to_be_closed_are_not_reused(bench: Bench, answer: bytes) -> None:
    async def test() -> None:
        async with serving(always(answer)) as server, bench.client() as client:
            for _ in range(3):
                assert (await client(Request("POST", server.url))).body == b"ok"
            assert server.connections == 3

    bench.run(test)


CODINGS = {
    "gzip": gzip.compress(b"hello" * 100),
    "x-gzip": gzip.compress(b"hello" * 50) + gzip.compress(b"hello" * 50),
    "deflate": zlib.compress(b"hello" * 100),
    "Deflate": zlib.compress(b"hello" * 100, wbits=-15),
    "br": brotli.compress(b"hello" * 100),
    "zstd": zstandard.ZstdCompressor().compress(b"hello" * 100),
    "identity": b"hello" * 100,
    "deflate, gzip": gzip.compress(zlib.compress(b"hello" * 100)),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_content_codings_are_removed(bench: Bench, coding: str) -> None:
    got = call(bench, once(response("200 OK", CODINGS[coding], f"Content-Encoding: {coding}")))
    assert got.body == b"hello" * 100


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_broken_or_short_coding_is_a_bad_body(bench: Bench, coding: str) -> None:
    for body in (CODINGS[coding][:-3], b"\xff\xfe plain text", CODINGS[coding] + b"tail"):
        with pytest.raises(BadBody):
            call(bench, once(response("200 OK", body, f"Content-Encoding: {coding}")))


def test_an_unknown_coding_is_a_bad_body(bench: Bench) -> None:
    with pytest.raises(BadBody, match="compress"):
        call(bench, once(response("200 OK", b"x", "Content-Encoding: compress")))


def test_codings_stay_where_decompress_is_off(bench: Bench) -> None:
    got = call(bench, once(response("200 OK", CODINGS["gzip"], "Content-Encoding: gzip")), decompress=False)
    assert got.body == CODINGS["gzip"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_the_cap_holds_for_the_decoded_body(bench: Bench, coding: str) -> None:
    plain = bytes(1_000_000)
    small = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "br": brotli.compress(plain),
        "zstd": zstandard.ZstdCompressor().compress(plain),
    }[coding]
    assert len(small) < 2000
    answer = once(response("200 OK", small, f"Content-Encoding: {coding}"))
    with pytest.raises(ResponseTooLarge):
        call(bench, answer, max_response_bytes=999_999)
    assert len(call(bench, answer, max_response_bytes=1_000_000).body) == 1_000_000


@pytest.mark.parametrize(
    "start",
    [b"Content-Length: 100000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n", b"\r\n"],
    ids=["length", "chunked", "until close"],
)
def test_the_cap_holds_while_the_body_comes(bench: Bench, start: bytes) -> None:
    """The server never stops sending, so a client that only looked at the end would never return."""

    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\n" + start)
        while True:
            await peer.send(bytes(1000))

    with pytest.raises(ResponseTooLarge) as caught:
        call(bench, script, max_response_bytes=10_000)
    assert caught.value.sent is Sent.YES


def test_a_body_of_exactly_the_cap_is_let_through(bench: Bench) -> None:
    assert len(call(bench, once(response("200 OK", bytes(1000))), max_response_bytes=1000).body) == 1000


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        CHUNKED + b"5\r\n12345\r\n",
        CHUNKED + b"5\r\n123",
        CHUNKED + b"5\r\n12345\r\n0\r\n",
    ],
)
def test_an_answer_cut_short_is_never_a_success(bench: Bench, start: bytes) -> None:
    with pytest.raises(ConnectionLost) as caught:
        call(bench, once(start))
    assert caught.value.sent is Sent.YES


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nContent-Len", b"HTT"])
def test_a_head_cut_short_is_a_call_error(bench: Bench, start: bytes) -> None:
    with pytest.raises(ConnectionLost):
        call(bench, once(start))


def test_no_answer_at_all_is_a_lost_connection(bench: Bench) -> None:
    with pytest.raises(ConnectionLost) as caught:
        call(bench, once(b""), Request("POST", "/", body=b"x"))
    assert caught.value.sent is Sent.UNKNOWN


def test_a_reset_is_a_lost_connection(bench: Bench) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    with pytest.raises(ConnectionLost) as caught:
        call(bench, script, Request("POST", "/", body=b"x"))
    assert caught.value.sent is Sent.UNKNOWN


def test_a_refused_connection_is_a_connect_error(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/?key=secret"

        async def test() -> None:
            async with bench.client() as client:
                with pytest.raises(ConnectError) as caught:
                    await client(Request("GET", url))
                assert caught.value.sent is Sent.NO
                assert "127.0.0.1" in str(caught.value)
                assert "secret" not in str(caught.value)

        bench.run(test)


def test_a_name_without_address_is_a_dns_error(bench: Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            with pytest.raises(DnsError) as caught:
                await client(Request("GET", "http://no-such-host.invalid/"))
            assert caught.value.sent is Sent.NO

    bench.run(test)


NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "length is no number": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "bad chunk size": CHUNKED + b"zz\r\nok\r\n0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000,
    "unasked switch of protocols": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxyz",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_is_a_protocol_error(bench: Bench, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        call(bench, once(data))


BAD_REQUESTS = {
    "relative url": Request("GET", "/path"),
    "other scheme": Request("GET", "ftp://h/"),
    "no host": Request("GET", "http:///x"),
    "userinfo": Request("GET", "http://user:secret@h/"),
    "space in url": Request("GET", "http://h/a b"),
    "line break in url": Request("GET", "http://h/a\r\nX: y"),
    "non-ascii url": Request("GET", "http://h/é"),
    "bad port": Request("GET", "http://h:70000/"),
    "bad method": Request("GE T", "http://h/"),
    "line break in method": Request("GET\r\n", "http://h/"),
    "tunnel": Request("CONNECT", "http://h/"),
    "own length": Request("POST", "http://h/", {"Content-Length": "3"}, b"abc"),
    "own coding": Request("POST", "http://h/", {"transfer-encoding": "chunked"}, b"abc"),
    "own connection": Request("GET", "http://h/", {"CONNECTION": "keep-alive"}),
    "connection that lists a field": Request("GET", "http://h/", {"Connection": "close, x-secret"}),
    "two connections": Request("GET", "http://h/", [("Connection", "close"), ("Connection", "x-secret")]),
    "non-latin header": Request("GET", "http://h/", {"X": "\u4f60"}),
}


@pytest.mark.parametrize("request_", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_cannot_be_a_request_is_refused(bench: Bench, request_: Request) -> None:
    async def test() -> None:
        async with bench.client() as client:
            with pytest.raises(UsageError) as caught:
                await client(request_)
            assert "secret" not in str(caught.value)

    bench.run(test)


def test_redirects_are_given_to_the_caller_by_default(bench: Bench) -> None:
    assert call(bench, once(response("302 Found", b"", "Location: /b"))).status == 302


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", b"GET"),
        (301, "POST", b"GET"),
        (302, "POST", b"GET"),
        (302, "PUT", b"PUT"),
        (303, "POST", b"GET"),
        (303, "HEAD", b"HEAD"),
        (307, "POST", b"POST"),
        (308, "POST", b"POST"),
    ],
)
def test_redirects_keep_or_change_the_method(bench: Bench, status: int, method: str, then: bytes) -> None:
    async def test() -> None:
        script = by_path({b"/a": response(f"{status} Go", b"", "Location: b?x"), b"/b?x": response()})
        async with serving(script) as server, bench.client(follow_redirects=3) as client:
            body = b"" if method in {"GET", "HEAD"} else b"body"
            fields = {"Authorization": "me", "Content-Type": "text/plain"}
            got = await client(Request(method, f"{server.url}/a", fields, body))
            assert (got.status, got.url) == (200, f"{server.url}/b?x")
            first, second = server.requests
            assert second.startswith(then + b" /b?x ")
            assert second.endswith(b"\r\n\r\n" + (body if method.encode() == then else b""))
            assert b"Authorization: me" in first
            assert b"Authorization: me" in second
            assert (b"Content-Type" in second) is (method.encode() == then)

    bench.run(test)


def test_credentials_do_not_follow_to_another_origin(bench: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as other:
            to_other = always(response("307 Go", b"", f"Location: {other.url}/"))
            async with serving(to_other) as server, bench.client(follow_redirects=1) as client:
                names = ("Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "Private-Token", "X-Other")
                fields = dict.fromkeys(names, "s3cret") | {"Accept-Language": "kept", "Content-Type": "text/x-kept"}
                await client(Request("POST", server.url, fields, b"body"))
                assert server.requests[0].count(b"s3cret") == len(names)
                assert b"s3cret" not in other.requests[0]
                assert b"Accept-Language: kept" in other.requests[0]
                assert b"Content-Type: text/x-kept" in other.requests[0]
                assert other.requests[0].endswith(b"\r\n\r\nbody")

    bench.run(test)


@pytest.mark.parametrize(
    ("location", "match"),
    [
        ("/", "circle"),
        ("ftp://x/", "no call can go"),
        ("http://[bad/", "Location"),
        ("http://a:b@c/", "no call can go"),
    ],
)
def test_redirects_to_nowhere_are_protocol_errors(bench: Bench, location: str, match: str) -> None:
    with pytest.raises(ProtocolError, match=match):
        call(bench, always(response("302 Go", b"", f"Location: {location}")), follow_redirects=5)


def test_the_limit_of_redirects_is_kept(bench: Bench) -> None:
    async def script(peer: Peer) -> None:
        n = 0
        while True:
            n += 1
            await peer.answer(response("302 Go", b"", f"Location: /{n}"))

    with pytest.raises(ProtocolError, match="more than 3 redirects"):
        call(bench, script, follow_redirects=3)


def test_many_calls_at_once_and_one_after_another(bench: Bench) -> None:
    async def test() -> None:
        async def echo(peer: Peer) -> None:
            while True:
                await peer.send(response("200 OK", (await peer.request())[-8:]))

        async with serving(echo) as server, bench.client(max_connections_per_origin=20) as client:
            headers = Headers({"X": "y"})

            async def one(n: int) -> None:
                got = await client(Request("POST", f"{server.url}/{n}", headers, f"{n:8}".encode()))
                assert int(got.body) == n

            await asyncio.gather(*(one(n) for n in range(1000)))
            for n in range(1000):
                await one(n)
            assert server.connections <= 20
            assert "0 in use" in repr(client)

    bench.run(test)


def test_a_cancelled_call_harms_no_other(bench: Bench) -> None:
    async def test() -> None:
        async def slow(peer: Peer) -> None:
            while b"/slow" not in await peer.request():
                await peer.send(OK)
            await asyncio.sleep(20)

        async with serving(slow) as server, bench.client(max_connections_per_origin=1) as client:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client(Request("GET", f"{server.url}/slow"))
                assert (await client(Request("GET", f"{server.url}/fast"))).body == b"ok"
            assert "0 in use" in repr(client)

    bench.run(test)


def test_a_closed_client_refuses_calls(bench: Bench) -> None:
    async def test() -> None:
        async with serving(always(OK)) as server:
            client = bench.client()
            await client(Request("GET", server.url))
            await client.aclose()
            await client.aclose()
            with pytest.raises(UsageError, match="closed"):
                await client(Request("GET", server.url))
            assert "closed" in repr(client)

    bench.run(test)


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections_per_origin": 0},
        {"connect_timeout": 0},
        {"connect_timeout": float("nan")},
        {"idle_timeout": -1},
        {"max_response_bytes": -1},
        {"follow_redirects": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(bench: Bench, options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        bench.client(**options)


def test_arbitrary_bytes_end_in_an_answer_or_a_call_error(bench: Bench) -> None:
    import random

    chance = random.Random(7)
    pieces = [
        b"HTTP/1.1 ", b"200 OK", b"\r\n", b"\n", b"Content-Length: 3", b"Content-Length: -1", b"\r\n\r\n",
        b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"3\r\nabc\r\n", b"abc", b"\0", b"\xff", b"HTTP/0.9",
        b"Connection: close", b"Content-Encoding: gzip", b" ", b":", b"100 Continue", b"Location: //", b"304",
    ]  # fmt: skip

    async def test() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            for _ in range(chance.randrange(1, 4)):
                data = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 12)))
                await peer.send(chance.choice([b"", b"HTTP/1.1 200 OK\r\n"]) + data)
                await asyncio.sleep(0)

        async with serving(script) as server, bench.client(follow_redirects=1) as client:
            for _ in range(300):
                try:
                    async with asyncio.timeout(20):
                        await client(Request("POST", server.url, body=b"x"))
                except CallError:
                    pass
            assert "0 in use" in repr(client)

    bench.run(test)

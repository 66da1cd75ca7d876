"""What counts as the same request without being parsed: never anything that the parser takes for another one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.inbound.proxy.known_hits import plain_form
from penstock.wire.server import RequestReader, RequestRejected, ServerLimits
from penstock.wire.server.request_reader import RequestHead

HOST = b"Host: shop.example\r\n"
LINES = [
    *(b"GET /hot HTTP/1.1", b"GET / HTTP/1.1", b"GET /a?b=c%20d HTTP/1.1", b"GET //x HTTP/1.1", b"GET /a#b HTTP/1.1"),
    *(b"GET  /a HTTP/1.1", b"GET /a HTTP/1.0", b"HEAD /a HTTP/1.1", b"GET /a\x7f HTTP/1.1", b'GET /"<> HTTP/1.1'),
    *(b"GET http://shop.example/a HTTP/1.1", b"GET * HTTP/1.1", b"GET /a HTTP/1.1 ", b"get /a HTTP/1.1"),
]
NAMES = [
    *(b"Host", b"host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Cookie", b"Range", b"Connection", b"Sec-"),
    *(b"Content-Length", b"Sec-Fetch-Mode", b"Transfer-Encoding", b"Referer", b"X_Y", b"Upgrade", b"Expect", b"DNT"),
]
VALUES = [
    *(b"shop.example", b"other.example:80", b"keep-alive", b"close", b"0", b"5", b"chunked", b" ", b"", b"gzip, br"),
    *(b"a\tb", b"\xff\xe9", b"a\r\nX: y", b"a\nHost: evil", b"a\rb", b"a\0", b"\x7f", b"a b", b"x@y", b"a\r\n folded"),
]
FIELDS = st.tuples(st.sampled_from(NAMES), st.sampled_from([b": ", b":", b" : "]), st.sampled_from(VALUES))


def parsed(data: bytes) -> RequestHead | None:
    """The one request that `data` is, or None."""
    reader = RequestReader(ServerLimits())
    reader.feed(data)
    try:
        head = reader.head()
    except RequestRejected:
        return None
    return head if head is not None and reader.buffered == 0 else None


@given(st.sampled_from(LINES), st.lists(FIELDS, max_size=5), st.binary(max_size=40))
@example(b"GET / HTTP/1.1", [(b"Host", b": ", b"shop.example")], b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
def test_a_plain_request_is_one_whole_request_without_a_body(
    line: bytes, fields: list[tuple[bytes, bytes, bytes]], after: bytes
) -> None:
    """And its form says all of it by which a stored response is chosen."""
    data = line + b"\r\n" + HOST + b"".join(b"".join(field) + b"\r\n" for field in fields) + b"\r\n" + after
    form = plain_form(data)
    if form is None:
        return
    head = parsed(data)
    if head is None:
        # Only a Host that is none gets so far; such a request is refused, and so never learnt.
        return
    assert (head.method, head.http_1_0, head.keep_alive, head.has_body, head.expect_continue) == (
        *(b"GET", False, True, False, False),
    )
    assert form[0] == b"GET %b HTTP/1.1\r\nHost: %b\r\n" % (head.target, head.host)
    encodings = [value for name, value in head.fields if name == b"accept-encoding"]
    assert len(encodings) <= 1
    assert form[1].removeprefix(form[0]).strip() == (b"Accept-Encoding: " + encodings[0] if encodings else b"").strip()


@pytest.mark.parametrize(
    "other",
    [
        *(b"Range: bytes=0-1\r\n", b"If-None-Match: x\r\n", b"Authorization: x\r\n", b"Content-Length: 1\r\n"),
        *(b"Host: b.example\r\n", b"Connection: close\r\n", b"X-Anything: x\r\n", b"Expect: 100-continue\r\n"),
        *(b"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", b" folded\r\n", b"Cookie: a\nb\r\n", b"Upgrade: x\r\n"),
        b"Cookie: " + b"x" * 5000 + b"\r\n",
    ],
)
def test_what_could_matter_is_parsed(other: bytes) -> None:
    assert plain_form(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n") is not None
    assert plain_form(b"GET /a HTTP/1.1\r\n" + HOST + other + b"\r\n") is None


def test_who_asks_does_not_matter() -> None:
    """But what it can decode is kept apart."""
    one = plain_form(b"GET /a HTTP/1.1\r\n" + HOST + b"User-Agent: a\r\nAccept-Encoding: br\r\nCookie: sid=1\r\n\r\n")
    two = plain_form(b"GET /a HTTP/1.1\r\n" + HOST + b"User-Agent: b\r\nAccept-Encoding: gzip\r\n\r\n")
    assert one is not None
    assert two is not None
    assert one[0] == two[0]
    assert one[1] != two[1]

"""What is a request, and what is refused: every row of the probe table, and the smuggling advisories by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.server import RequestHead, RequestReader, RequestRejected, ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, step: int | None = None) -> list[tuple[RequestHead, bytes, bool]]:
    """All requests in `data`, fed in steps: head, body, and whether the body came to its end."""
    reader = RequestReader(ServerLimits())
    found: list[tuple[RequestHead, bytes, bool]] = []
    step = step or len(data) or 1
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while True:
            if found and not found[-1][2]:
                head, body, _ = found[-1]
                found[-1] = (head, body + reader.take_body(), reader.body is None)
                if reader.body is not None:
                    break
            head_or_none = reader.head()
            if head_or_none is None:
                break
            found.append((head_or_none, b"", reader.body is None))
    return found


def seen(data: bytes, step: int | None = None) -> list[tuple[object, ...]]:
    return [
        (h.method, h.target, h.host, h.fields, h.keep_alive, h.content_length, h.chunked, body, complete)
        for h, body, complete in read(data, step)
    ]


def status(data: bytes, step: int | None = None) -> int:
    with pytest.raises(RequestRejected) as caught:
        read(data, step)
    assert caught.value.reason
    return caught.value.status


REFUSED = {
    # The probe table (notes, 4.1).
    "CL+TE": (400, POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "TE+CL": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
    "two equal lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "two lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    "a list of lengths": (400, POST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "CL +5": (400, POST + b"Content-Length: +5\r\n\r\nabcde"),
    "CL -5": (400, POST + b"Content-Length: -5\r\n\r\nabcde"),
    "CL 0x5": (400, POST + b"Content-Length: 0x5\r\n\r\nabcde"),
    "CL empty": (400, POST + b"Content-Length:\r\n\r\n"),
    "CL overflow": (400, POST + b"Content-Length: 18446744073709551617\r\n\r\n"),
    "CL of 19 digits": (400, POST + b"Content-Length: 1000000000000000000\r\n\r\n"),
    "blank before the colon": (400, GET + b"a : b\r\n\r\n"),
    "Host with a blank before the colon": (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "NUL in a value": (400, GET + b"a: \0\r\n\r\n"),
    "CTL in a value": (400, GET + b"a: \x01\r\n\r\n"),
    "DEL in a value": (400, GET + b"a: \x7f\r\n\r\n"),
    "NUL in a name": (400, GET + b"a\0: b\r\n\r\n"),
    "no name": (400, GET + b": b\r\n\r\n"),
    "no colon": (400, GET + b"abc\r\n\r\n"),
    "quoted name": (400, GET + b'"a": b\r\n\r\n'),
    "TE xchunked": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "TE gzip, chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    "TE chunked, chunked": (501, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n"),
    "TE identity": (501, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "TE twice": (501, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    "TE empty": (400, POST + b"Transfer-Encoding:\r\n\r\n"),
    "TE after VT": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    "TE with 1.0": (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two Hosts": (400, GET + b"Host: b\r\n\r\n"),
    "two equal Hosts": (400, GET + b"Host: a\r\n\r\n"),
    "two Hosts, 1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "no Host, absolute target": (400, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    "empty Host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "obs-fold": (400, GET + b"a: b\r\n c\r\n\r\n"),
    "obs-fold at the first field": (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "bare LF": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF in one line": (400, b"GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n"),
    "bare CR": (400, GET + b"a: b\rc\r\n\r\n"),
    "LF LF as the end": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "bad chunk terminator": (400, CHUNKED + b"3\r\nabcXX0\r\n\r\n"),
    "no chunk terminator": (400, CHUNKED + b"3\r\nabc0\r\n\r\n"),
    "LF as chunk terminator": (400, CHUNKED + b"3\r\nabc\n0\r\n\r\n"),
    "LF after a chunk size": (400, CHUNKED + b"3\nabc\r\n0\r\n\r\n"),
    "LF in chunk-ext": (400, CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "CR in chunk-ext": (400, CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "NUL in chunk-ext": (400, CHUNKED + b"3;a\0\r\nabc\r\n0\r\n\r\n"),
    "1,000 fields": (431, GET + b"a: b\r\n" * 1000 + b"\r\n"),
    "101 fields": (431, GET + b"a: b\r\n" * 100 + b"\r\n"),
    "URI of 20 KB": (414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a field of 9 KB": (431, GET + b"a: " + b"x" * 9_000 + b"\r\n\r\n"),
    "a head of 70 KB": (431, GET + (b"a: " + b"x" * 7_000 + b"\r\n") * 10 + b"\r\n"),
    "a field of 1 MB": (431, GET + b"a: " + b"x" * 1_000_000),
    # What httptools alone lets through.
    "fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment in the query": (400, b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment in a URL": (400, b"GET http://a/#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two blanks": (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two blanks before the version": (400, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/0.9 in front": (400, b"GET /\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "version 0.9": (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    "version 2.0": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "version 1.2": (400, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "RTSP": (400, b"GET / RTSP/1.0\r\nHost: a\r\n\r\n"),
    "ICE": (400, b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n"),
    "lower-case version": (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    "lower-case method": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "unknown method": (501, b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "CONNECT": (501, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "* with GET": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "relative target": (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "blank in the target": (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "not ASCII in the target": (400, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "other scheme": (400, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no authority": (400, b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "userinfo in a URL": (400, b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "userinfo in Host": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "blank in Host": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "list of Hosts": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "path in Host": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "port of Host": (400, b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    "expectation": (417, POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
    "two empty lines": (400, b"\r\n\r\n" + GET + b"\r\n"),
    "empty line of LF": (400, b"\n" + GET + b"\r\n"),
    "TLS to a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00"),
    "chunk size of 17 digits": (400, CHUNKED + b"00000000000000003\r\nabc"),
    "chunk size overflow": (400, CHUNKED + b"FFFFFFFFFFFFFFFF\r\nabc"),
    "chunk size 0x3": (400, CHUNKED + b"0x3\r\nabc"),
    "chunk size -1": (400, CHUNKED + b"-1\r\nabc"),
    "chunk size +1": (400, CHUNKED + b"+1\r\na\r\n"),
    "chunk size 1_0": (400, CHUNKED + b"1_0\r\na\r\n"),
    "no chunk size": (400, CHUNKED + b"\r\nabc"),
    "blank after chunk size": (400, CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n"),
    "long chunk-ext": (400, CHUNKED + b"3;" + b"x" * 5_000),
    "many chunk-exts": (400, CHUNKED + (b"1;" + b"x" * 4_000 + b"\r\na\r\n") * 6),
    "long trailers": (431, CHUNKED + b"0\r\n" + b"a: " + b"x" * 9_000),
    "many trailers": (431, CHUNKED + b"0\r\n" + b"a: b\r\n" * 2_000),
    "CL in trailers": (400, CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n"),
    "TE in trailers": (400, CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "no trailer": (400, CHUNKED + b"0\r\nGET / HTTP/1.1\r\n\r\n"),
    "fold in trailers": (400, CHUNKED + b"0\r\na: b\r\n c\r\n\r\n"),
    # The advisories (notes, 4.3), by name.
    "CVE-2025-43859 (h11: terminator is any two bytes)": (
        400,
        CHUNKED + b"5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    "CVE-2024-27982 (llhttp: blank before Content-Length)": (
        400,
        b"POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 3\r\n\r\nabc",
    ),
    "CVE-2025-22871 (Go: bare LF ends a chunk size line)": (400, CHUNKED + b"1;\nx\r\n0\r\n\r\n"),
    "CVE-2025-55315 (Kestrel: LF in chunk-ext)": (
        400,
        CHUNKED + b"2;\n47\r\nxx\r\n0\r\n\r\n",
    ),
    "VSV00016 (end of a chunked body that is not CRLF)": (400, CHUNKED + b"1\r\na\r\n0\r\n\rX"),
    "CVE-2023-44487, VSV00017 (HTTP/2 is not spoken)": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_whole_and_in_pieces(name: str) -> None:
    expected, data = REFUSED[name]
    assert status(data) == expected
    if len(data) < 2_000:
        assert status(data, 1) == expected
        assert status(data, 7) == expected


def test_vsv00008_body_of_an_answered_request_is_no_request() -> None:
    """CVE-2022-23959: the length of a body holds, whatever the body looks like."""
    inner = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
    found = read(POST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner + GET + b"\r\n")
    assert [(head.target, body) for head, body, _ in found] == [(b"/", inner), (b"/", b"")]


def test_upgrade_does_not_hide_a_body() -> None:
    """Alone, llhttp takes an upgrade for the end of HTTP: the body would be the next request."""
    data = POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc" + GET + b"\r\n"
    assert [body for _, body, _ in read(data)] == [b"abc", b""]
    h2c = GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" + GET + b"\r\n"
    assert len(read(h2c)) == 2


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_accepted_in_any_pieces(step: int) -> None:
    data = (
        GET
        + b"A-b: \xff c \t\r\nx_y: dropped\r\nempty:\r\n\r\n"
        + b"\r\nPOST http://B.example:80?q HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc"
        + CHUNKED
        + b'3;a="b c"\r\nabc\r\n02\r\nde\r\n0\r\nTrailer: x\r\n\r\n'
        + b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: x, Close\r\n\r\n"
        + b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"
        + b"GET / HTTP/1.0\r\n\r\n"
        + b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    )
    host = (b"host", b"a")
    posted = (True, 3, False, b"abc", True)
    closing = (False, None, False, b"", True)
    assert seen(data, step) == [
        (b"GET", b"/", b"a", [host, (b"a-b", b"\xff c"), (b"empty", b"")], True, None, False, b"", True),
        (b"POST", b"/?q", b"B.example:80", [(b"host", b"B.example:80"), (b"content-length", b"03")], *posted),
        (b"POST", b"/", b"a", [host, (b"transfer-encoding", b"chunked")], True, None, True, b"abcde", True),
        (b"OPTIONS", b"*", b"[::1]:8080", [(b"host", b"[::1]:8080"), (b"connection", b"x, Close")], *closing),
        (b"OPTIONS", b"*", b"a", [host], True, None, False, b"", True),
        (b"GET", b"/", b"", [], False, None, False, b"", True),
        (b"GET", b"/", b"", [(b"connection", b"Keep-Alive")], True, None, False, b"", True),
    ]


@pytest.mark.parametrize(
    ("data", "has_body", "expects"),
    [
        (GET + b"\r\n", False, False),
        (POST + b"Content-Length: 0\r\n\r\n", False, False),
        (POST + b"Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n", True, True),
        (b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: anything\r\n\r\n", True, False),
        (CHUNKED, True, False),
    ],
)
def test_what_follows_a_head(data: bytes, has_body: bool, expects: bool) -> None:
    head = read(data)[0][0]
    assert (head.has_body, head.expect_continue) == (has_body, expects)


def test_just_within_the_bounds() -> None:
    assert read(GET + b"a: b\r\n" * 99 + b"\r\n")
    assert read(b"GET /" + b"x" * (8192 - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read(CHUNKED + (b"1000;signature=" + b"x" * 64 + b"\r\n" + b"y" * 4096 + b"\r\n") * 500 + b"0\r\n\r\n")[0][2]


def test_nothing_and_part_of_a_head_is_no_request() -> None:
    assert read(b"") == []
    for end in range(1, len(GET)):
        assert read(GET[:end]) == []


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_requests_or_refused(data: bytes, step: int) -> None:
    for prefix in (b"", GET, CHUNKED):
        outcomes = []
        for size in (None, step):
            try:
                outcomes.append(str(seen(prefix + data, size)))
            except RequestRejected as error:
                outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1]

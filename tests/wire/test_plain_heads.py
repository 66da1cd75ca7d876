"""The pattern for heads of plain answers: what it takes, llhttp takes too and reads the same; nothing odd is plain."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.errors import CallError
from penstock.rules.caching.http_fields import HOP_BY_HOP, end_to_end
from penstock.stores.stored_response import pack_fields
from penstock.wire.plain_heads import LineReader, PlainHead, PlainLine, read_plain_head
from penstock.wire.streams.stream_reader import StreamReader

READ = LineReader(
    frozenset({b"cache-control", b"content-type", b"content-length", b"date"}),
    frozenset({b"etag"}),
    [b"vary", *HOP_BY_HOP],
).read
DATE = b"Date: Tue, 01 Dec 2026 12:00:00 GMT\r\n"
REAL = [
    # nginx, gunicorn, uvicorn, Node, Apache.
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n" + DATE + b"Content-Type: text/html\r\nContent-Length: 5\r\n"
    b'Last-Modified: Tue, 01 Dec 2026 11:00:00 GMT\r\nConnection: keep-alive\r\nETag: "674c-5"\r\n'
    b"Cache-Control: max-age=60\r\nAccept-Ranges: bytes\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\n" + DATE + b"Connection: keep-alive\r\nContent-Type: application/json\r\n"
    b"Content-Length: 5\r\nX-Frame-Options: DENY\r\nReferrer-Policy: same-origin\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ndate: Tue, 01 Dec 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: 22\r\n"
    b"content-type: application/json\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\nContent-Length: 5\r\nETag: W/"5-iqd"\r\n' + DATE + b"Connection: "
    b"keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.1 301 Moved Permanently\r\n"
    + DATE
    + b"Server: Apache/2.4.62 (Debian)\r\nLocation: http://a.example/x/\r\n"
    b"Content-Length: 311\r\nKeep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\n"
    b"Content-Type: text/html; charset=iso-8859-1\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n\r\n",
]
SPECIAL = [bytes([each]) for each in b'\0\t\n\r :,;-0159aHGZ"\\(\x7f\x80\xff'] + [
    b"\r\n",
    b"\r\n ",
    b" \r\n",
    b"\r\n\r\n",
]
LONGEST_BODY = 1 << 16


def read(head: bytes) -> PlainHead | str:
    return read_plain_head(head, no_line, READ)


def no_line(_line: bytes) -> PlainLine | None:
    """Nothing was read before."""
    return None


def read_by_llhttp(head: bytes, length: int) -> StreamReader:
    """The same head, with its body where that is not too long, read as one answer."""
    reader = StreamReader("the origin")
    reader.begin(head_only=False)
    reader.feed(head + b"x" * length if length <= LONGEST_BODY else head)
    return reader


def check(head: bytes) -> PlainHead | None:
    """Where `head` is plain, it is the same for llhttp."""
    plain = read(head)
    if isinstance(plain, str):
        return None
    try:
        reader = read_by_llhttp(head, plain.length)
    except CallError as error:
        raise AssertionError(f"plain, but refused: {head!r}") from error
    assert reader.take_head() == (plain.status, plain.reason, reader.headers, plain.length)
    assert reader.keep_alive, head
    assert not reader.surplus
    assert reader.complete is (plain.length <= LONGEST_BODY)
    assert reader.keep_alive_seconds == plain.keep_alive_seconds
    kept = end_to_end(reader.headers, frozenset({b"content-length"}))
    assert pack_fields(kept) == plain.packed
    assert [value for name, value in kept if name == b"date"] == ([] if plain.date is None else [plain.date])
    return plain


@pytest.mark.parametrize("head", REAL)
def test_real_heads_are_plain(head: bytes) -> None:
    assert check(head) is not None


def test_what_a_head_says() -> None:
    head = read(REAL[3])
    assert isinstance(head, PlainHead)
    assert (head.status, head.reason, head.length, head.keep_alive_seconds) == (200, b"OK", 5, 5.0)
    assert head.packed == (b'x-powered-by: Express\r\netag: W/"5-iqd"\r\ndate: Tue, 01 Dec 2026 12:00:00 GMT\r\n')
    assert head.date == b"Tue, 01 Dec 2026 12:00:00 GMT"
    assert head.key == b"200\netag\n"


def test_the_key_has_values_names_and_nothing_of_other_lines() -> None:
    lines = b"A: 1\r\nETag: x\r\nCache-Control:  max-age=1\r\nCACHE-CONTROL: public\r\nEtag: y\r\nContent-Length: 1\r\n"
    head = read(b"HTTP/1.1 200 \r\n" + DATE + lines + b"\r\n")
    assert isinstance(head, PlainHead)
    assert head.key == b"200\netag\ncache-control: max-age=1\ncache-control: public\netag\n"


@pytest.mark.parametrize(
    ("start", "lines", "why"),
    [
        *((b"HTTP/1.1 %d X" % status, b"", "status") for status in (100, 101, 103, 199, 204, 206, 304, 600, 999)),
        *(
            (start, b"", "status")
            for start in (
                *(b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 200  OK", b"http/1.1 200 OK"),
                *(b"HTTP/1.1 200 OK ", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 200 O\0K", b"HTTP/2 200 OK"),
                *(
                    b" HTTP/1.1 200 OK",
                    b"\r\nHTTP/1.1 200 OK",
                    b"HTTP/1.1 200 O\nK",
                    b"HTTP/1.1 200 O\rK",
                    b"",
                    b"ICY 200",
                ),
                b"HTTP/1.1 200 " + b"x" * 200,
            )
        ),
        *(
            (b"HTTP/1.1 200 OK", line, "syntax")
            for line in (
                *(
                    b"A: b\n",
                    b"A: b\nC: d",
                    b"A: b\rC: d",
                    b"A: \0",
                    b"A: b\x7f",
                    b": b",
                    b"A",
                    b"A : b",
                    b" A: b",
                    b"",
                ),
                *(b"A: b\r\n c", b"A: b\r\n\tc", b"A: b ", b"A:", b"A: ", b"A: \t", b"A\xff: b", b"A b: c", b"A(: b"),
            )
        ),
        *(
            (b"HTTP/1.1 200 OK", b"%b: x" % name, name.decode())
            for name in (
                *(b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info", b"proxy-connection"),
                *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"vary"),
            )
        ),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", "transfer-encoding"),
        *(
            (b"HTTP/1.1 200 OK", b"Connection: " + value, "connection")
            for value in (
                b"close",
                b"Upgrade",
                b"keep-alive, close",
                b"keep-alive, x-secret",
                b"x-secret",
                b"keep-alive,",
            )
        ),
        *(
            (b"HTTP/1.1 200 OK", b"%b\r\n%b" % (line, line), "repeated")
            for line in (b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"Date: x", b"Content-Length: 5")
        ),
        (b"HTTP/1.1 200 OK", b"Content-Length: 5", "repeated"),
        *((b"HTTP/1.1 200 OK", b"A: b\r\n" * 80 + b"A: b", "size"), (b"HTTP/1.1 200 OK", b"A: " + b"b" * 9000, "size")),
    ],
)
def test_what_is_not_plain(start: bytes, lines: bytes, why: str) -> None:
    head = (
        start + b"\r\nContent-Length: 5\r\nA: 1\r\n" + (lines + b"\r\n" if lines or why == "syntax" else b"") + b"\r\n"
    )
    assert read(head) == why


@pytest.mark.parametrize(
    "value", [b"5 ", b"+5", b"-5", b"5,5", b"5, 5", b"0x5", b"5a", b"1e3", b"\xb2", b"9" * 16, b"5;"]
)
def test_a_length_is_digits(value: bytes) -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: " + value + b"\r\n\r\n") in {"content-length", "syntax"}


def test_without_a_length_it_is_not_plain() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n") == "no content-length"


@pytest.mark.parametrize("end", [b"", b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_a_head_has_its_end(end: bytes) -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 5" + end) in {"syntax", "status"}


def test_a_line_that_is_known_is_not_read_again() -> None:
    """And is not taken for the status line, nor that for a line."""
    line = b"HTTP/1.1 200 OK"
    known = {line: (b"a: b\r\n", b"", 0, b"b")}
    assert read_plain_head(b"Content-Length: 5\r\n" + line + b"\r\n\r\n", known.get, READ) == "status"
    assert read(b"%b\r\nContent-Length: 5\r\n%b\r\n\r\n" % (line, line)) == "syntax"


@pytest.mark.parametrize("head", REAL)
def test_each_byte_of_a_real_head_replaced_left_out_or_followed(head: bytes) -> None:
    taken = 0
    for place in range(len(head)):
        for special in (*SPECIAL, b""):
            for after in (place, place + 1):
                taken += check(head[:place] + special + head[after:]) is not None
    assert taken > len(head), "the mutations hardly ever were plain, so this shows nothing"


STATUS_LINES = [b"HTTP/1.1 %d X" % status for status in range(100, 1000)] + [b"HTTP/1.0 200 OK", b"HTTP/1.1 200"]
MORE_LINES = [
    *(
        b"Content-Length: 5",
        b"Content-Length: 6",
        b"content-length: 22",
        b"Content-Length: 5, 5",
        b"Content-Length: 05",
    ),
    *(
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: x-powered-by",
        b"Connection: upgrade",
        b"Upgrade: a",
    ),
    *(b"Keep-Alive: timeout=7", b"Date: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"TE: a"),
    *(b"Trailer: etag", b"Proxy-Connection: close", b"Proxy-Authenticate: a", b" folded", b"\tfolded", b"A: b\rC: d"),
]


@pytest.mark.parametrize("head", REAL)
def test_real_heads_with_a_line_more_or_another_status(head: bytes) -> None:
    first, *lines = head.split(b"\r\n")
    for start in STATUS_LINES:
        check(b"\r\n".join([start, *lines]))
    for more in MORE_LINES:
        for place in range(len(lines)):
            check(b"\r\n".join([first, *lines[:place], more, *lines[place:]]))


MUTATION = st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(SPECIAL) | st.binary(max_size=4))
NAMES = st.sampled_from(
    [
        *(b"A", b"a-b", b"Content-Length", b"content-length", b"Connection", b"Keep-Alive", b"Transfer-Encoding"),
        *(b"Date", b"ETag", b"Cache-Control", b"Vary", b"!#$%&'*+.^_`|~", b"Set-Cookie", b"Trailer", b"Upgrade"),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            b"5",
            b"05",
            b"0",
            b"5, 5",
            b"keep-alive",
            b"Keep-Alive",
            b"close",
            b"chunked",
            b"gzip",
            b"a b",
            b"a\tb",
            b"",
        ),
        *(b"timeout=5", b"timeout=5, max=9", b"timeout=a", b"h2c", b"a\xe9", b"18446744073709551616", b"a,b", b"(\\)"),
    ]
) | st.binary(max_size=6)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b": ", b":", b":\t", b" : ", b":  "]), VALUES), max_size=5)
STARTS = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 500 ", b"HTTP/1.1 200 \xe9t\xe9", b"HTTP/1.1 200"),
        *(b"HTTP/1.1 301 Moved", b"HTTP/1.1 299 a\tb", b"HTTP/1.1 599 -", b"HTTP/1.0 200 OK", b"HTTP/1.1 205 Reset"),
    ]
)


@given(st.sampled_from(REAL), st.lists(MUTATION, max_size=4))
def test_real_heads_with_mutations(head: bytes, mutations: list[tuple[float, int, bytes]]) -> None:
    for where, removed, added in mutations:
        place = int(where * len(head))
        head = head[:place] + added + head[place + removed :]
    check(head)


@given(STARTS, LINES, st.booleans())
@example(b"HTTP/1.1 200 OK", [(b"Content-Length", b": ", b"05")], False)
@example(b"HTTP/1.1 205 Reset", [], True)
def test_heads_made_of_lines(start: bytes, lines: list[tuple[bytes, bytes, bytes]], framed: bool) -> None:
    text = b"".join(b"".join(line) + b"\r\n" for line in lines)
    check(start + b"\r\n" + (b"Content-Length: 5\r\n" if framed else b"") + text + b"\r\n")

"""Reading responses: every framing, in every split, and nothing that is not HTTP/1.1."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import CallError, ProtocolError, ResponseTooLarge, Sent
from penstock.wire.response_reader import MAX_HEAD_BYTES, ResponseReader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
COMPLETE = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "length zero": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    "ends with a line break": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na\r\n\n", b"a\r\n\n", True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", True),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n", b"abc", True),
    "204": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
    "interim": (b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "interim with length": (
        b"HTTP/1.1 103 \r\nContent-Length: 7\r\n\r\n" b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"x",
        True,
    ),
}  # fmt: skip


def reader(max_body_bytes: int = 1000, *, head_only: bool = False) -> ResponseReader:
    made = ResponseReader("http://peer", max_body_bytes)
    made.begin(head_only=head_only)
    return made


def feed(target: ResponseReader, *pieces: bytes) -> bool:
    complete = False
    for piece in pieces:
        assert not complete
        complete = target.feed(piece)
    return complete


@pytest.mark.parametrize(("data", "body", "keep_alive"), COMPLETE.values(), ids=COMPLETE)
def test_a_response_is_read_whole_and_in_every_split(data: bytes, body: bytes, keep_alive: bool) -> None:
    for cut in range(len(data)):
        r = reader()
        pieces = (data[:cut], data[cut:]) if cut else (data,)
        assert feed(r, *pieces)
        assert (r.take_body(), r.keep_alive) == (body, keep_alive)
        assert not r.surplus or cut in range(len(data) - 4, len(data)), "a clean end was taken for surplus"
    r = reader()
    assert feed(r, *(data[i : i + 1] for i in range(len(data))))
    assert r.take_body() == body


@given(st.sampled_from(sorted(COMPLETE)), st.lists(st.integers(1, 120), max_size=8))
def test_any_split_gives_the_same_response(name: str, cuts: list[int]) -> None:
    data, body, keep_alive = COMPLETE[name]
    edges = [0, *sorted({c for c in cuts if c < len(data)}), len(data)]
    r = reader()
    assert feed(r, *(data[a:b] for a, b in itertools.pairwise(edges)))
    assert (r.take_body(), r.keep_alive) == (body, keep_alive)


@pytest.mark.parametrize(("data", "body", "keep_alive"), COMPLETE.values(), ids=COMPLETE)
@pytest.mark.parametrize("surplus", [b"x", b"H", b"\r\n", b"\n", b"\0", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_bytes_after_the_end_are_noticed(data: bytes, body: bytes, keep_alive: bool, surplus: bytes) -> None:
    r = reader()
    assert feed(r, data + surplus)
    assert r.take_body() == body
    assert r.surplus


@pytest.mark.parametrize("data", [v[0] for v in COMPLETE.values()], ids=COMPLETE)
def test_a_prefix_is_never_complete(data: bytes) -> None:
    for cut in range(1, len(data)):
        r = reader()
        assert not r.feed(data[:cut])
        assert not r.feed_eof()


def test_a_body_without_length_ends_with_the_connection() -> None:
    r = reader()
    assert not feed(r, b"HTTP/1.1 200 OK\r\n\r\n", b"abc", b"def")
    assert r.feed_eof()
    assert (r.take_body(), r.keep_alive) == (b"abcdef", False)


def test_a_head_without_end_is_not_ended_by_the_connection() -> None:
    r = reader()
    assert not feed(r, b"HTTP/1.1 200 OK\r\nX: y\r\n")
    assert not r.feed_eof()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_the_answer_to_head_ends_with_its_head(head: bytes) -> None:
    r = reader(head_only=True)
    assert r.feed(head)
    assert (r.take_body(), r.keep_alive, r.surplus) == (b"", True, False)
    for cut in range(1, len(head)):
        r.begin(head_only=True)
        assert feed(r, head[:cut], head[cut:])
    for surplus in (b"x", b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"):
        r.begin(head_only=True)
        assert r.feed(head + surplus)
        assert r.surplus, surplus


def test_one_reader_reads_many_responses() -> None:
    r = reader()
    for n in range(3):
        for data, body, keep_alive in COMPLETE.values():
            if not keep_alive:
                continue
            r.begin(head_only=False)
            assert r.feed(data)
            assert (r.take_body(), r.surplus) == (body, False), n
        r.begin(head_only=True)
        assert r.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")


REFUSED = {
    "another protocol": b"SSH-2.0-x\r\n",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n",
    "status 101": b"HTTP/1.1 101 X\r\n\r\n",
    "status 101 with upgrade": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "length list": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
    "length signed": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
    "length huge": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
    "length then chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked then length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "gzip transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "gzip, chunked transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk size": CHUNKED + b"x\r\n",
    "chunk size huge": CHUNKED + b"FFFFFFFFFFFFFFFFFFF\r\n",
    "chunk without end": CHUNKED + b"1\r\nab\r\n",
    "one long field": b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 11_000 + b"Content-Length: 0\r\n\r\n",
    "long trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * 11_000 + b"\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_not_http_1_1_is_refused_in_every_split(data: bytes) -> None:
    cuts = range(0, len(data), 1 if len(data) < 300 else 5003)
    for cut in cuts:
        with pytest.raises(ProtocolError, match=r"^http://peer ") as caught:
            feed(reader(), *((data[:cut], data[cut:]) if cut else (data,)))
        assert caught.value.sent is Sent.YES


def test_what_comes_after_a_complete_response_is_no_part_of_its_head() -> None:
    """A second response that nobody asked for, with a head over the bound, took the first one with it."""
    unasked = b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"
    reading = reader()
    assert reading.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + unasked)
    assert reading.surplus
    assert reading.take_body() == b"ok"


@pytest.mark.parametrize("head_only", [False, True])
@pytest.mark.parametrize(
    ("surplus", "unasked"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
        (b"x", True),
        (b"\r\n", False),
        (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", False),
    ],
)
def test_an_answer_too_many_in_the_same_packet(surplus: bytes, unasked: bool, head_only: bool) -> None:
    """It had put its status in the place of the right one."""
    reading = reader()
    reading.begin(head_only=head_only)
    whole = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n" + (b"" if head_only else b"ok")
    assert reading.feed(whole + surplus)
    assert (reading.status, reading.coding, reading.keep_alive) == (201, "", True)
    assert reading.surplus
    if not head_only:
        # Behind a HEAD the parser takes it for the body, and does not say what it is.
        assert reading.unasked is unasked


def test_interim_responses_without_end_are_refused() -> None:
    with pytest.raises(ProtocolError, match="head of more than"):
        feed(reader(), *[b"HTTP/1.1 100 Continue\r\n\r\n"] * 5000)


@pytest.mark.parametrize("size", [999, 1000])
def test_a_body_up_to_the_cap_is_let_through(size: int) -> None:
    assert feed(reader(1000), b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, bytes(size))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",),
        (CHUNKED, b"3e9\r\n" + bytes(1001)),
        (b"HTTP/1.1 200 OK\r\n\r\n", bytes(600), bytes(401)),
    ],
    ids=["length", "chunked", "until close"],
)
def test_a_body_over_the_cap_is_refused_as_soon_as_it_is_known(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(ResponseTooLarge, match="cap of 1000 bytes"):
        feed(reader(1000), *pieces)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5.0), (b"Timeout=5, max=100", 5.0), (b"max=3", None), (b"timeout=", None),
        (b"timeout=-1", None), (b"timeout=1e9", None), (b"timeout=99999999999", None), (b"", None),
    ],
)  # fmt: skip
def test_keep_alive_seconds_are_read(value: bytes, seconds: float | None) -> None:
    r = reader()
    r.feed(b"HTTP/1.1 200 OK\r\nKeep-Alive: " + value + b"\r\nContent-Length: 0\r\n\r\n")
    assert r.keep_alive_seconds == seconds


def test_content_codings_of_several_fields_are_joined() -> None:
    r = reader()
    r.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\ncontent-encoding: br\r\nContent-Length: 0\r\n\r\n")
    assert r.coding == "gzip,br"


def test_trailers_are_not_headers() -> None:
    r = reader()
    assert r.feed(CHUNKED + b"0\r\nSet-Cookie: a=b\r\nX: y\r\n\r\n")
    assert r.headers == [(b"Transfer-Encoding", b"chunked")]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans())
def test_arbitrary_bytes_never_raise_anything_but_a_call_error(pieces: list[bytes], head_only: bool) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"):
        r = reader(100, head_only=head_only)
        try:
            for piece in [start, *pieces] if start else pieces:
                if r.feed(piece):
                    break
            r.feed_eof()
        except CallError:
            continue
        assert len(r.take_body()) <= 100

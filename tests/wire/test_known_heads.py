"""The table of heads: only what is safe to remember, and only while it pays."""

from __future__ import annotations

import pytest

from penstock.wire.known_heads import KnownHeads
from penstock.wire.response_reader import ResponseReader


def learn(heads: KnownHeads, data: bytes) -> None:
    reader = ResponseReader("peer", 1000)
    reader.begin(head_only=False)
    reader.feed(data)
    reader.feed_eof()
    heads.learn(data, reader)


def test_a_plain_head_is_remembered_without_its_body() -> None:
    heads = KnownHeads()
    learn(heads, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert heads.table is not None
    assert list(heads.table) == [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil close",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000 + b"\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_other_heads_are_not_remembered(data: bytes) -> None:
    heads = KnownHeads()
    learn(heads, data)
    assert heads.table == {}


def test_the_table_is_given_up_where_heads_never_repeat() -> None:
    heads = KnownHeads()
    for n in range(300):
        learn(heads, b"HTTP/1.1 200 OK\r\nX-Request-Id: %d\r\nContent-Length: 2\r\n\r\nok" % n)
    assert heads.table is None


def test_the_table_stays_small_where_heads_do_repeat() -> None:
    heads = KnownHeads()
    for n in range(2000):
        learn(heads, b"HTTP/1.1 200 OK\r\nX-Request-Id: %d\r\nContent-Length: 2\r\n\r\nok" % n)
        heads.hits += 2
        assert heads.table is not None
        assert len(heads.table) <= 256

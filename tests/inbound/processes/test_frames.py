"""What one process says arrives as it was said, however the stream is cut; what is not ours is refused."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.inbound.processes.frames import (
    ANSWER,
    BROKEN,
    CREDIT,
    HEAD_BYTES,
    MOST_PAYLOAD,
    REQUEST,
    REQUEST_TLS,
    BadFrames,
    FrameReader,
    client_part,
    credit_frame,
    credit_in,
    frame,
    hello,
    request_head,
    request_in,
)
from penstock.inbound.processes.ownership import Ownership

SECRET = b"0123456789abcdef"
HELLO = hello(SECRET)
FRAMES = st.lists(
    st.tuples(st.integers(REQUEST, BROKEN), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=12
)


def taken(reader: FrameReader) -> list[tuple[int, int, bytes]]:
    found = []
    while (each := reader.take()) is not None:
        found.append(each)
    return found


@given(FRAMES, st.lists(st.integers(0, 4000), max_size=30))
def test_any_split_of_the_stream_gives_the_same_frames(frames: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    stream = HELLO + b"".join(frame(*each) for each in frames)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader(HELLO)
    found = []
    for begin, end in pairwise(places):
        reader.feed(stream[begin:end])
        found += taken(reader)
    assert found == frames
    assert reader.greeted
    assert reader.waiting == 0


@given(FRAMES, st.binary(min_size=1, max_size=200), st.integers(0, 300))
def test_hostile_bytes_are_frames_or_refused_and_nothing_else(
    frames: list[tuple[int, int, bytes]], noise: bytes, at: int
) -> None:
    """Whatever comes, no frame is longer than the bound, and all before the noise is as it was said."""
    stream = b"".join(frame(*each) for each in frames)
    reader = FrameReader(HELLO)
    reader.feed(HELLO + stream[:at] + noise + stream[at:])
    found = []
    with contextlib.suppress(BadFrames):
        found = taken(reader)
    whole, size = [], 0
    for each in frames:
        size += HEAD_BYTES + len(each[2])
        if size <= at:
            whole.append(each)
    assert found[: len(whole)] == whole or not found
    assert all(len(payload) <= MOST_PAYLOAD for _, _, payload in found)


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n",
        hello(b"another secret .."),
        HELLO[:-1] + b"!",
        HELLO.replace(b"processes 1", b"processes 2"),
    ],
)
def test_another_version_another_proxy_and_anybody_else_is_refused_by_the_first_bytes(first: bytes) -> None:
    reader = FrameReader(HELLO)
    reader.feed(first + b"\0" * 20)
    with pytest.raises(BadFrames):
        reader.take()
    assert not reader.greeted


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    reader = FrameReader(HELLO)
    reader.feed(HELLO + frame(ANSWER, 1, b"x" * (MOST_PAYLOAD + 1))[: HEAD_BYTES + 1])
    with pytest.raises(BadFrames):
        reader.take()


@given(st.text(alphabet="0123456789abcdef:.", max_size=45), st.binary(min_size=1, max_size=100), st.booleans())
def test_a_request_carries_address_scheme_and_bytes(client: str, raw: bytes, tls: bool) -> None:
    reader = FrameReader(b"")
    part = client_part(client)
    reader.feed(request_head(7, len(part) + len(raw), tls=tls) + part + raw)
    found = reader.take()
    assert found is not None
    kind, number, payload = found
    assert (kind, number) == (REQUEST_TLS if tls else REQUEST, 7)
    assert request_in(payload) == (client, raw)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\x05abc", b"\x03abc"])
def test_a_request_without_bytes_is_none(payload: bytes) -> None:
    with pytest.raises(BadFrames):
        request_in(payload)


def test_credits() -> None:
    reader = FrameReader(b"")
    reader.feed(credit_frame(3, 65536))
    assert reader.take() == (CREDIT, 3, (65536).to_bytes(4, "little"))
    assert credit_in((65536).to_bytes(4, "little")) == 65536
    with pytest.raises(BadFrames):
        credit_in(b"abc")


@given(st.binary(max_size=200), st.integers(1, 64))
def test_all_processes_agree_on_the_owner(key: bytes, count: int) -> None:
    one, other = Ownership(count, SECRET), Ownership(count, SECRET)
    assert one.owner(key) == other.owner(key) == one.owner(key)
    assert 0 <= one.owner(key) < count


def test_urls_are_spread_evenly_and_differently_with_another_secret() -> None:
    keys = [b"http://shop/%d" % number for number in range(8000)]
    first = [Ownership(4, SECRET).owner(key) for key in keys]
    assert all(1800 < first.count(number) < 2200 for number in range(4))
    other = [Ownership(4, b"another").owner(key) for key in keys]
    assert 1800 < sum(one == two for one, two in zip(first, other, strict=True)) < 2200

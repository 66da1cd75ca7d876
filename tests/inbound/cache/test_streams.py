"""The timeouts and the pauses of the streaming client, with a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.clock import current_clock
from penstock.errors import AttemptTimeout, CallError, UsageError
from penstock.messages import RawFields
from penstock.testing import run_virtual
from penstock.wire.streams import StreamClient, StreamExchange

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Listener:
    """A Receiver that remembers how it ended."""

    def __init__(self) -> None:
        self.errors: list[CallError] = []

    def on_interim(self, status: int, fields: RawFields) -> None: ...

    def on_head(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None: ...

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_failed(self, error: CallError) -> None:
        assert not self.errors, "told twice"
        self.errors.append(error)


class Line:
    """A connection that takes everything and never answers."""

    writable = True

    def __init__(self) -> None:
        self.sent = b""
        self.cancelled = 0

    def begin(self, data: bytes, owner: Any, *, head_only: bool) -> None:
        del owner, head_only
        self.sent += data

    def send(self, data: bytes) -> None:
        self.sent += data

    def cancel(self) -> None:
        self.cancelled += 1

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _begun(client: StreamClient) -> tuple[StreamExchange, Listener, Line]:
    """An exchange on a silent connection, without a pool."""
    listener, line = Listener(), Line()
    if client._pool is None:
        client._start()
    exchange = StreamExchange(client, HEAD, listener, head_only=False, repeatable=False)
    client._attach(exchange, line)  # type: ignore[arg-type]
    return exchange, listener, line


def test_a_silent_origin_times_out_once() -> None:
    async def main() -> None:
        client = StreamClient("http://a", first_byte_timeout=10.0)
        exchange, listener, line = _begun(client)
        clock = current_clock()
        await clock.sleep(9.9)
        assert not listener.errors
        await clock.sleep(1.0)
        assert [type(e) for e in listener.errors] == [AttemptTimeout]
        assert line.cancelled == 1
        exchange.cancel()
        exchange.fail(AttemptTimeout("again"))
        await client.aclose()

    run_virtual(main())


def test_time_counts_from_the_last_piece_of_the_request() -> None:
    async def main() -> None:
        client = StreamClient("http://a", first_byte_timeout=10.0)
        sending, told, line = _begun(client)
        _, silent, _ = _begun(client)
        clock = current_clock()
        for _ in range(5):
            await clock.sleep(8.0)
            sending.send(b"x")
        assert not told.errors
        assert [type(e) for e in silent.errors] == [AttemptTimeout], "the others are not forgotten"
        assert line.sent == HEAD + b"xxxxx"
        await clock.sleep(11.0)
        assert [type(e) for e in told.errors] == [AttemptTimeout]
        await client.aclose()

    run_virtual(main())


def test_time_in_which_the_reader_pauses_does_not_count() -> None:
    async def main() -> None:
        client = StreamClient("http://a", between_bytes_timeout=10.0)
        exchange, listener, _ = _begun(client)
        clock = current_clock()
        client.touch(exchange)
        exchange.pause()
        await clock.sleep(100.0)
        assert not listener.errors
        exchange.resume()
        await clock.sleep(11.0)
        assert [type(e) for e in listener.errors] == [AttemptTimeout]
        await client.aclose()

    run_virtual(main())


def test_an_origin_has_no_path() -> None:
    with pytest.raises(UsageError, match="path"):
        StreamClient("http://a/b")

"""Reads responses from bytes, without I/O: feed it what arrived, in whatever pieces (RFC 9112, 4 to 8).

llhttp in its strict mode decides what is HTTP. What it lets through and a client must not is refused here:
101, transfer codings other than chunked, heads without end, protocols that are not HTTP/1.x.
"""

from __future__ import annotations

from typing import NoReturn

import httptools

from ..errors import CallError, ProtocolError, ResponseTooLarge, Sent

MAX_HEAD_BYTES = 64 * 1024
END_OF_HEAD = b"\r\n\r\n"
GOODBYE = 408
"""How some servers and load balancers say that they close a connection which was idle for too long."""
_VERSION = b"HTTP/1."
_BODILESS = frozenset({204, 304})


class ResponseReader:
    """One response after another. Errors name `peer`; a body over `max_body_bytes` is ResponseTooLarge."""

    __slots__ = (
        "_body_bytes",
        "_chunks",
        "_fault",
        "_first_bytes",
        "_head_bytes",
        "_head_done",
        "_head_only",
        "_max_body_bytes",
        "_parser",
        "_peer",
        "_until_eof",
        "coding",
        "complete",
        "declared_length",
        "headers",
        "keep_alive",
        "keep_alive_seconds",
        "status",
        "surplus",
        "unasked",
    )

    def __init__(self, peer: str, max_body_bytes: int) -> None:
        self._peer = peer
        self._max_body_bytes = max_body_bytes
        self._parser: httptools.HttpResponseParser | None = None
        self.begin(head_only=False)

    def begin(self, *, head_only: bool) -> None:
        """Expect a new response. `head_only` for the answer to HEAD, which has no body whatever it says."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.coding = ""
        self.declared_length: int | None = None
        self.keep_alive = False
        self.keep_alive_seconds: float | None = None
        self.complete = False
        self.surplus = False
        """Bytes came behind the answer, so the connection is of no more use."""
        self.unasked = False
        """They look like an answer that nobody asked for, and neither like blanks nor like a goodbye."""
        self._head_only = head_only
        self._head_done = False
        self._until_eof = False
        self._head_bytes = 0
        self._first_bytes = b""
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._fault: CallError | None = None

    def feed(self, data: bytes) -> bool:
        """Take in what arrived; True once the response is complete.

        Raises ProtocolError or ResponseTooLarge; the connection is then of no more use.
        """
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if len(self._first_bytes) < len(_VERSION):
            self._check_version(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise self._fault or self._error(f"sent what is not HTTP/1.1 ({error})") from error
            self.surplus = True
            self.unasked = True
        if self.complete:
            self._check_end(data)
        elif not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise self._head_too_large()
        return self.complete

    def feed_eof(self) -> bool:
        """The peer has closed; True where that is how the body ends (RFC 9112, 6.3, rule 8)."""
        if self._head_done and self._until_eof and not self.complete:
            self.complete = True
        return self.complete

    def forget_parser(self) -> None:
        """Break the reference cycle between the parser and this reader, once the connection is closed."""
        self._parser = None

    def take_body(self) -> bytes:
        """The body as it came, before its content coding is removed. Not kept here any longer."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # What follows is called by httptools. An exception in there is swallowed, so the fault is kept aside.

    def on_message_begin(self) -> None:
        """A first byte: of the response, or of one that nobody asked for."""
        if self.complete:
            self.surplus = self.unasked = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailers, which are dropped (RFC 9110, 6.5.1)."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            # Here and not after all was read: nothing of it is handed on, and what was complete before stays so.
            self._fail(self._head_too_large())
        if not self._head_done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of a head; that of an interim response (1xx) is dropped (RFC 9110, 15.2)."""
        parser = self._parser
        assert parser is not None
        if self.complete:
            # One too many, which must not change the answer before it.
            self.unasked = parser.get_status_code() != GOODBYE
            return
        self.status = parser.get_status_code()
        if self.status < 200:
            if self.status < 100 or self.status == 101:
                self._fail(self._error(f"answered with status {self.status}, which was not asked for"))
            self.headers = []
            return
        self._head_done = True
        self._read_framing()
        self.keep_alive = parser.should_keep_alive()
        if self._head_only:
            self.complete = True
        elif (self.declared_length or 0) > self._max_body_bytes and self.status not in _BODILESS:
            self._fail(self._too_large())

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            self.surplus = self.unasked = True
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self._max_body_bytes:
            self._fail(self._too_large())
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The end of a response, which may be an interim one."""
        if self._head_done:
            self.complete = True

    def _read_framing(self) -> None:
        transfer = None
        for name, value in self.headers:
            # Most fields are none of these lengths, which saves the lower().
            if len(name) not in {10, 14, 16, 17}:
                continue
            lowered = name.lower()
            if lowered == b"content-length":
                self.declared_length = int(value)
            elif lowered == b"transfer-encoding":
                transfer = value if transfer is None else transfer + b"," + value
            elif lowered == b"content-encoding":
                text = value.decode("latin-1")
                self.coding = f"{self.coding},{text}" if self.coding else text
            elif lowered == b"keep-alive":
                self.keep_alive_seconds = timeout_of(value)
        chunked = transfer is not None and transfer.strip().lower() == b"chunked"
        if transfer is not None and not chunked:
            self._refuse_coding()
        self._until_eof = not chunked and self.declared_length is None

    def _refuse_coding(self) -> None:
        # No TE was sent, so no other coding may come; guessing where the body ends is how answers mix.
        self._fail(self._error("used a transfer coding other than chunked, which was not asked for"))

    def _check_version(self, data: bytes) -> None:
        self._first_bytes += data[: len(_VERSION) - len(self._first_bytes)]
        if not _VERSION.startswith(self._first_bytes):
            raise self._error(f"sent what is not HTTP/1.1 (it begins {self._first_bytes!r})")

    def _check_end(self, data: bytes) -> None:
        if self._head_only:
            # llhttp does not know that this was HEAD and now waits for a body, so it is of no more use.
            self._parser = None
            if data.find(END_OF_HEAD) != len(data) - len(END_OF_HEAD):
                self.surplus = True
        elif data[-1] in b"\r\n" and not self._ends_with_message(data):
            # llhttp skips empty lines between messages, so they are looked for here.
            self.surplus = True

    def _ends_with_message(self, data: bytes) -> bool:
        if self.declared_length and self._chunks:
            return data.endswith(self._chunks[-1])
        tail = data[-5:]
        return END_OF_HEAD.endswith(tail) or (tail.endswith(END_OF_HEAD) and not tail.startswith(b"\n"))

    def _error(self, what: str) -> ProtocolError:
        return ProtocolError(f"{self._peer} {what}", sent=Sent.YES)

    def _head_too_large(self) -> ProtocolError:
        return self._error(f"sent a head of more than {MAX_HEAD_BYTES} bytes")

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(
            f"{self._peer} answered with a body over the cap of {self._max_body_bytes} bytes", sent=Sent.YES
        )

    def _fail(self, error: CallError) -> NoReturn:
        self._fault = error
        raise error


def timeout_of(keep_alive: bytes) -> float | None:
    """Seconds for which the peer says, in Keep-Alive, that it keeps an idle connection; None where it does not say."""
    for part in keep_alive.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) < 10:
            return float(value)
    return None

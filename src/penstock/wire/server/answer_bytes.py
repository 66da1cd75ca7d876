"""The bytes of an answer's head. Its framing is the server's, whatever fields it is given (RFC 9112, 6)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from ...errors import UsageError

Fields = Iterable[tuple[bytes, bytes]]

_OURS = frozenset({b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding"})
_OUR_SIZES = frozenset(map(len, _OURS))
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def answer_head(status: int, reason: bytes, fields: Fields, framing: bytes) -> bytes:
    """A head up to its empty line; `framing` is whole lines, and takes the place of all framing in `fields`.

    Raises UsageError for a status, name or value that would not be read as one.
    """
    if not 100 <= status <= 999:
        raise UsageError(f"{status} is not a status")
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    for name, value in fields:
        if len(name) in _OUR_SIZES and name.lower() in _OURS:
            continue
        parts.append(b"%b: %b\r\n" % (name, value))
    head = b"".join(parts)
    lines = len(parts)
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise UsageError("a reason or field of an answer has a line break or NUL in it")
    return b"%b%b\r\n" % (head, framing)


def length_in(fields: Fields) -> int | None:
    """The Content-Length that `fields` give, for an answer without a body. None for none, or one that is not one."""
    for name, value in fields:
        if len(name) == 14 and name.lower() == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else None
    return None


def plain_answer(status: int, text: str, *, head_only: bool = False) -> bytes:
    """A short answer in plain text after which the connection closes."""
    reason = _REASONS.get(status, b"Error")
    body = b"%b: %b\n" % (reason, text.encode("ascii", "replace").replace(b"\r", b"?").replace(b"\n", b"?"))
    fields = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store")]
    head = answer_head(status, reason, fields, b"Content-Length: %d\r\nConnection: close\r\n" % len(body))
    return head if head_only else head + body

"""The head of a plain answer, read line by line: what a strict pattern takes, and nothing that could mean more.

An origin says the same lines again and again, so what a line says is remembered and a head is put together of known
lines. What is not plain is no error: whoever reads every HTTP reads it then (`response_reader`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .response_reader import timeout_of

MAX_PLAIN_HEAD = 8192
"""Bytes of a head; what is longer is not plain."""
MAX_LINES = 64
_LONGEST_START = 128
# No blanks at an end, no control characters, no empty value. Every repetition is possessive.
_TEXT = rb"[!-~\x80-\xff]++(?:[\t ]++[!-~\x80-\xff]++)*+"
_START = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) (" + _TEXT + rb")?+")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++):[\t ]*+(" + _TEXT + rb")")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_NOT_PLAIN = frozenset({204, 206, 304})
"""Without a body, or not the whole of what was asked for."""


DATE, LENGTH, CONNECTION, KEEP_ALIVE = 1, 2, 4, 8
"""What a line is for besides, or instead of, whoever gets the answer; one bit each, as none may come twice."""
_PARTS = {b"date": DATE, b"content-length": LENGTH, b"connection": CONNECTION, b"keep-alive": KEEP_ALIVE}
_FRAMING = frozenset({b"transfer-encoding", b"upgrade"})
"""The body is framed in another way, or what follows is no HTTP: never plain, whoever reads."""


PlainLine: TypeAlias = tuple[bytes, bytes, int, bytes]
"""What a line says: as it goes on, what of it is part of the kind, what else it is for (0: nothing), its value. No
NamedTuple, which takes three times as long to be unpacked."""


class PlainHead:
    """What the head of a plain answer says; its body is framed by one Content-Length and its connection is kept."""

    __slots__ = ("date", "keep_alive_seconds", "key", "length", "packed", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        length: int,
        packed: bytes,
        key: bytes,
        date: bytes | None,
        keep_alive_seconds: float | None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.length = length
        """Of the body, in bytes."""
        self.packed = packed
        """The fields that travel on, names in lower case, each `name: value CRLF`, in their order; without
        Content-Length."""
        self.key = key
        """The status and all lines of which rules may read something, one a line: equal for answers of one kind."""
        self.date = date
        """The value of Date, which is in `packed`; None where there is none."""
        self.keep_alive_seconds = keep_alive_seconds
        """How long the peer says that it keeps an idle connection."""


class LineReader:
    """What is in a line. Part of the kind are the values of `by_value`, and that those of `by_presence` are there.

    With one of `general` an answer is not plain. Names in lower case.
    """

    def __init__(self, by_value: frozenset[bytes], by_presence: frozenset[bytes], general: Iterable[bytes]) -> None:
        self._by_value = by_value
        self._by_presence = by_presence
        self._general = _FRAMING.union(general)

    def read(self, line: bytes) -> PlainLine | str:
        """What `line`, without its end, says; or why the answer is not plain: the name of a field, or "syntax"."""
        match = _LINE.fullmatch(line)
        if match is None:
            return "syntax"
        name, value = match.groups()
        name = name.lower()
        part = _PARTS.get(name)
        if part is None:
            if name in self._general:
                return name.decode("ascii")
            packed = b"%b: %b\r\n" % (name, value)
            said = b""
            if name in self._by_value:
                said = b"%b: %b\n" % (name, value)
            elif name in self._by_presence:
                said = name + b"\n"
            return packed, said, 0, value
        if part == LENGTH and not _LENGTH.fullmatch(value):
            return "content-length"
        if part == CONNECTION and value.lower() != b"keep-alive":
            return "connection"
        return b"date: %b\r\n" % value if part == DATE else b"", b"", part, value


def read_plain_head(
    head: bytes, known: Callable[[bytes], PlainLine | None], read: Callable[[bytes], PlainLine | str]
) -> PlainHead | str:
    """What `head`, with the empty line at its end, says; or, in a word, why it is not plain.

    `known` finds a line that was read before, `read` reads one (see `LineReader`).
    """
    lines = head.split(b"\r\n")
    if len(head) > MAX_PLAIN_HEAD or len(lines) > MAX_LINES:
        return "size"
    first = lines[0]
    start = _start(first) if len(first) <= _LONGEST_START else "status"
    if isinstance(start, str):
        return start
    if not head.endswith(b"\r\n\r\n"):
        return "syntax"
    del lines[-2:], lines[0]
    found = list(map(known, lines))
    if None in found:
        for place, line in enumerate(found):
            if line is None:
                said = read(lines[place])
                if isinstance(said, str):
                    return said
                found[place] = said
    return _put_together(start, found)  # type: ignore[arg-type]  # none is None any more


def _put_together(start: tuple[int, bytes, bytes], lines: list[PlainLine]) -> PlainHead | str:
    status, reason, kind = start
    packed, said = [], [kind]
    seen = length = 0
    date = seconds = None
    for text, key, part, value in lines:
        if text:
            packed.append(text)
            if key:
                said.append(key)
        if part:
            if seen & part:
                return "repeated"
            seen |= part
            if part == LENGTH:
                length = int(value)
            elif part == DATE:
                date = value
            elif part == KEEP_ALIVE:
                seconds = timeout_of(value)
    if not seen & LENGTH:
        return "no content-length"
    return PlainHead(status, reason, length, b"".join(packed), b"".join(said), date, seconds)


@functools.lru_cache(256)
def _start(line: bytes) -> tuple[int, bytes, bytes] | str:
    """Status, reason, and what of it is part of the kind."""
    match = _START.fullmatch(line)
    if match is None:
        return "status"
    status = int(match[1])
    return "status" if status in _NOT_PLAIN else (status, match[2] or b"", b"%d\n" % status)

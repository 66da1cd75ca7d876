"""Byte ranges: what a stored response can answer, and what is missing of a partial one (RFC 9110, 14)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from .http_date import parse_http_date
from .http_fields import BLANKS, FieldMap

# Nobody has files of more than 10**18 bytes, and int() refuses numbers of thousands of digits.
_NUMBER = rb"[0-9]{1,18}"
_CONTENT_RANGE = re.compile(rb"bytes (" + _NUMBER + rb")-(" + _NUMBER + rb")/(" + _NUMBER + rb"|\*)", re.IGNORECASE)
_SINGLE = re.compile(rb"bytes=[ \t]*(" + _NUMBER + rb")?-(" + _NUMBER + rb")?[ \t]*", re.IGNORECASE)
_UNREADABLE = float("nan")


class RangeAnswer(NamedTuple):
    """How to answer: with the whole, with bytes `first` to `last` (inclusive), or with 416 (both then 0)."""

    kind: Literal["whole", "part", "unsatisfiable"]
    first: int
    last: int


WHOLE = RangeAnswer("whole", 0, 0)


def parse_content_range(value: bytes) -> tuple[int, int, int | None] | None:
    """First byte, last byte (inclusive) and length of the whole (None for `*`); None where it is not one byte range."""
    match = _CONTENT_RANGE.fullmatch(value.strip(BLANKS))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == b"*" else int(match[3])
    if first > last or (total is not None and last >= total):
        return None
    return first, last, total


def answer_range(range_value: bytes | None, if_range: bytes | None, total: int, stored: FieldMap) -> RangeAnswer:
    """How to answer a GET from a complete stored body of `total` bytes.

    Only a single range of bytes gets a part. Several get the whole, which RFC 9110, 14.2, allows and which leaves
    nothing to amplify; so does what is no range, and an If-Range that does not hold (13.1.5).
    """
    whole = RangeAnswer("whole", 0, max(total - 1, 0))
    if range_value is None:
        return whole
    match = _SINGLE.fullmatch(range_value)
    if match is None or (if_range is not None and not if_range_holds(if_range, stored)):
        return whole
    start, end = match.groups()
    if start is None:
        return whole if end is None else _suffix(int(end), total, whole)
    first = int(start)
    last = total - 1 if end is None else int(end)
    if end is not None and last < first:
        return whole
    if first >= total:
        return RangeAnswer("unsatisfiable", 0, 0)
    return RangeAnswer("part", first, min(last, total - 1))


def _suffix(length: int, total: int, whole: RangeAnswer) -> RangeAnswer:
    if length == 0:
        return RangeAnswer("unsatisfiable", 0, 0)
    # The last bytes of nothing can be satisfied (RFC 9110, 14.1.2), but no Content-Range can say so.
    return RangeAnswer("part", max(total - length, 0), total - 1) if total > 0 else whole


def is_single(range_value: bytes) -> bool:
    """Whether it is one range of bytes that can be read."""
    match = _SINGLE.fullmatch(range_value)
    return match is not None and match.groups() != (None, None)


def is_suffix(range_value: bytes) -> bool:
    """Whether it is the last so many bytes: only who knows the length can tell where these begin."""
    match = _SINGLE.fullmatch(range_value)
    return match is not None and match[1] is None


def answer_on_its_way(
    range_value: bytes | None, if_range: bytes | None, total: int | None, fields: FieldMap
) -> RangeAnswer:
    """As `answer_range`, for a body that is still coming. Without its length (None) no Content-Range can be said."""
    return WHOLE if total is None else answer_range(range_value, if_range, total, fields)


def if_range_holds(if_range: bytes, stored: FieldMap) -> bool:
    """Strong comparison with the stored ETag, or exactly the stored Last-Modified, where that is strong.

    A date is a strong validator only if the response was made at least a second later (RFC 9110, 8.8.2.2).
    """
    condition = if_range.strip(BLANKS)
    if condition.startswith(b'"'):
        return condition == stored.get(b"etag")
    modified = stored.get(b"last-modified")
    if modified is None or condition != modified:
        return False
    changed = parse_http_date(modified, now=_UNREADABLE)
    made = parse_http_date(stored.get(b"date", b""), now=_UNREADABLE)
    return changed is not None and made is not None and made - changed >= 1.0


def answer_from_part(
    range_value: bytes | None, first_byte: int, part_length: int, total: int | None
) -> tuple[int, int] | None:
    """First and last byte (inclusive, counted in the whole) that a stored part can answer; None where it cannot.

    The part holds `part_length` bytes from `first_byte` on, of `total` where that is known. If-Range is for the caller.
    """
    match = None if range_value is None else _SINGLE.fullmatch(range_value)
    if match is None or part_length <= 0:
        return None
    start, end = match.groups()
    if start is None or end is None:
        if total is None or (start is None and end is None):
            return None
        first = int(start) if start is not None else max(total - int(end), 0)
        last = total - 1
    else:
        first = int(start)
        last = int(end) if total is None else min(int(end), total - 1)
    if first_byte <= first <= last < first_byte + part_length:
        return first, last
    return None


def missing_part(first_byte: int, part_length: int, total: int | None) -> bytes | None:
    """The Range that completes a stored beginning; None where the part is none, or whole, or `total` is unknown."""
    if first_byte != 0 or part_length <= 0 or total is None or part_length >= total:
        return None
    return b"bytes=%d-" % part_length


def may_combine(stored: FieldMap, part: FieldMap) -> bool:
    """Whether a 206 may be joined to a stored part: both have the same strong ETag (RFC 9110, 15.3.7.3)."""
    tag = stored.get(b"etag")
    return tag is not None and tag.startswith(b'"') and tag == part.get(b"etag")


def believed_range(first: int, last: int, total: int | None, length: int) -> tuple[int, int, int | None]:
    """What a Content-Range means if the body is `length` bytes (1 or more) counted from `first`: for a lenient origin.

    Where the range claimed to reach the end, the end moves with it.
    """
    believed_last = first + length - 1
    reaches_end = total is not None and last == total - 1
    return first, believed_last, believed_last + 1 if reaches_end else total

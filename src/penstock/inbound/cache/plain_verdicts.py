"""Heads of plain answers, what their lines say, and what the rules say of their kinds: remembered, within the budget.

Only what comes twice is remembered: where each answer has a field of its own, its head and that line never do, and all
the other lines are known all the same.
"""

from __future__ import annotations

from ...rules.caching.freshness import Freshness
from ...rules.caching.http_fields import HOP_BY_HOP, combine
from ...rules.caching.options import CacheOptions
from ...rules.caching.verdicts import BY_PRESENCE, GENERAL, Kind, KindVerdict, freshness_at, names_by_value, verdict_of
from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse, bytes_of
from ...wire.plain_heads import LineReader, PlainHead, PlainLine, read_plain_head
from .app_clock import AppClock
from .bounded_table import BoundedTable, Sights, share_of
from .counters import count

LONGEST_PLAIN = 256 * 1024
"""Bytes of a body; of a longer one the rules are asked each time."""
_PART = 64
_MOST_HEADS = 1024
_MOST_LINES = 4096
_MOST_VERDICTS = 1024
_LONGEST_LINE = 512
_LONGEST_HEAD = 4096
_HEAD_BYTES = 144
"""A PlainHead (96), the int of its length and the float of Keep-Alive (56); its key is charged too."""
_LINE_BYTES = 96
"""A PlainLine (88: a tuple of four); the value of Date and Content-Length is charged too."""
_VERDICT_BYTES = 320
"""A KindVerdict (72) and its Freshness (136) with the floats of its own (96)."""


class PlainVerdicts:
    """What is known of plain answers to plain GETs of one cache; each table has a 64th of the budget of `store`.

    `not_plain` counts, by a word for why, the answers that the general path has to judge.
    """

    def __init__(self, store: MemoryStore, options: CacheOptions) -> None:
        self._options = options
        self._longest = min(store.max_object_bytes, LONGEST_PLAIN)
        self._max_length = store.max_object_bytes
        share = share_of(store, _PART)
        self._heads = BoundedTable[PlainHead](store, share, _MOST_HEADS, _bytes_of_head)
        self._lines = BoundedTable[PlainLine](store, share, _MOST_LINES, _bytes_of_line)
        self._verdicts = BoundedTable[KindVerdict | str](store, share, _MOST_VERDICTS, lambda _: _VERDICT_BYTES)
        self._with_cookie = BoundedTable[KindVerdict | str](store, share, _MOST_VERDICTS, lambda _: _VERDICT_BYTES)
        self._find_head = self._heads.entries.get
        self._find_line = self._lines.entries.get
        self._find_verdict = self._verdicts.entries.get
        self._find_with_cookie = self._with_cookie.entries.get
        self._sights = Sights(store)
        self._read_line = LineReader(names_by_value(options), BY_PRESENCE, HOP_BY_HOP.union(GENERAL)).read
        self.not_plain: dict[str, int] = {}
        """Of so many words as there are reasons in `wire/plain_heads` and `rules/caching/verdicts`."""

    def head(self, data: bytes, end: int) -> PlainHead | None:
        """What the head of an answer says, which are the first `end` bytes of `data`; None where it is not plain."""
        text = data[:end]
        return self._find_head(text) or self._read(text)

    def of(self, head: PlainHead, *, cookie: bool) -> KindVerdict | None:
        """What the rules say of an answer with `head` to a plain GET; None where the general path has to judge it.

        `cookie`: the request had one. The policy must have nothing for the request.
        """
        verdict = (self._find_with_cookie if cookie else self._find_verdict)(head.key)
        if verdict is None:
            verdict = self._judge(head, cookie)
        if verdict.__class__ is KindVerdict and head.length <= self._longest:
            return verdict
        count(self.not_plain, verdict if isinstance(verdict, str) else "too-large")
        return None

    def to_store(
        self,
        verdict: KindVerdict,
        head: PlainHead,
        body: bytes,
        *,
        key: bytes,
        sequence: int,
        began: float,
        now: float,
        wall: float,
        app_clock: AppClock,
        packed: bytes | None = None,
    ) -> StoredResponse | None:
        """What is stored of an answer; None where it may not be shared, and the general path has to see to that.

        `packed`: its fields, where they are not those of `head` alone. For the moments see `freshness_of`.
        """
        freshness = self.freshness(verdict, head, began=began, now=now, wall=wall, app_clock=app_clock)
        if freshness is None:
            return None
        return StoredResponse(
            key=key,
            status=head.status,
            fields=head.packed if packed is None else packed,
            body=body,
            sequence=sequence,
            received_at=now,
            freshness=freshness,
            reason=head.reason,
        )

    def freshness(
        self, verdict: KindVerdict, head: PlainHead, *, began: float, now: float, wall: float, app_clock: AppClock
    ) -> Freshness | None:
        """The freshness of an answer that is stored; None as for `to_store`."""
        assert verdict.freshness is not None
        behind = app_clock.behind if app_clock.known else None
        return freshness_at(
            verdict.freshness, head.date, response_delay=now - began, received_wall=wall, clock_behind=behind
        )

    def clear(self) -> None:
        """Forget everything, as for other options."""
        for table in (self._heads, self._lines, self._verdicts, self._with_cookie):
            table.clear()
        self._sights.clear()

    def _read(self, text: bytes) -> PlainHead | None:
        head = read_plain_head(text, self._find_line, self._line)
        if isinstance(head, str):
            count(self.not_plain, head)
            return None
        if len(text) <= _LONGEST_HEAD and self._sights.seen(hash(text)):
            self._heads.keep(text, head)
        return head

    def _line(self, line: bytes) -> PlainLine | str:
        said = self._read_line(line)
        if not isinstance(said, str) and len(line) <= _LONGEST_LINE and self._sights.seen(hash(line)):
            self._lines.keep(line, said)
        return said

    def _judge(self, head: PlainHead, cookie: bool) -> KindVerdict | str:
        verdict = verdict_of(_kind_of(head, cookie), self._options, max_length=self._max_length)
        if len(head.key) <= _LONGEST_LINE:
            (self._with_cookie if cookie else self._verdicts).keep(head.key, verdict)
        return verdict


def _kind_of(head: PlainHead, cookie: bool) -> Kind:
    pairs, present = [], []
    for line in head.key.split(b"\n")[1:-1]:
        name, colon, value = line.partition(b": ")
        if colon:
            pairs.append((name, value))
        else:
            present.append(name)
    return Kind(head.status, combine(pairs), frozenset(present), cookie)


def _bytes_of_head(head: PlainHead) -> int:
    date = 0 if head.date is None else bytes_of(len(head.date))
    return _HEAD_BYTES + bytes_of(len(head.packed)) + bytes_of(len(head.key)) + bytes_of(len(head.reason)) + date


def _bytes_of_line(line: PlainLine) -> int:
    return _LINE_BYTES + bytes_of(len(line[0])) + bytes_of(len(line[1])) + bytes_of(len(line[3]))

"""Which URLs are asked for most, and which are missed most and why: counted in bounded memory, for `penstock top`.

Misses, stale and collapsed answers are counted one by one: they cost a request to the origin or a look at the rules
anyway. Hits are sampled, the more sparsely the faster they come, so that the path of a known hit pays one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse
from ..cache.bounded_table import share_of, short_key
from ..cache.counters import CacheCounters
from ..cache.protocols import InboundRequest
from .heavy_hitters import HeavyHitters, Row

WINDOW_SECONDS = 5.0
"""What is said of the recent past is of two windows at most and one at least."""
_LONGEST_KEY = 1024
_PART = 16
_MOST_KEYS = 512
_KEY_BYTES = 8 * 1664
"""Of one key: four tables keep up to twice as many, each with 1,024 bytes of the key, seven numbers and a note."""
_LONGEST_STRIDE = 256
_SILENCE = 0.1
_BATCH = 32
_OFTEN, _SELDOM = 0.0005, 0.002
"""Seconds between two samples, of a batch on average below which they get sparser, and above which at once denser."""


class TopUrl(NamedTuple):
    """One row. `requests` and `spared` (those that the app did not see) are estimates once hits are sampled.

    `recent`: requests of the last 5 to 10 seconds; `recent_spared` likewise.
    """

    key: bytes
    requests: int
    spared: int
    recent: int
    recent_spared: int


class TopMiss(NamedTuple):
    """One row: requests that the origin was asked for, most often by the reason `why`."""

    key: bytes
    why: str
    requests: int
    recent: int
    example: bytes
    """What stands for the last key that was missed for `why`, with its query: see `short_key`."""
    reasons: dict[str, int]
    """Of all requests, the most frequent first."""


def reserve_keys(store: MemoryStore) -> int:
    """How many keys a TopUrls may have for a 16th of the budget of `store`, which is charged for them for good."""
    keys = max(1, min(_MOST_KEYS, share_of(store, _PART) // _KEY_BYTES))
    store.charge_table(keys * _KEY_BYTES)
    return keys


class TopUrls:
    """At most `max_keys` of each: URLs and misses, with their query and without. `now` is a monotonic clock."""

    def __init__(
        self,
        counters: CacheCounters,
        key_of: Callable[[InboundRequest], bytes],
        now: Callable[[], float],
        max_keys: int = _MOST_KEYS,
    ) -> None:
        self._counters = counters
        self._key_of = key_of
        self._now = now
        self._urls = HeavyHitters[bytes](max_keys)
        self._paths = HeavyHitters[bytes](max_keys)
        self._missed_urls = HeavyHitters[tuple[bytes, str]](max_keys)
        self._missed_paths = HeavyHitters[tuple[bytes, str]](max_keys)
        self._stride = 1
        self._chance = 1
        self._hits_seen = counters.hits
        self._sampled_at = self._batch_began = now()
        self._batch = 0
        self._window_ends = now() + WINDOW_SECONDS
        self.bytes_from_store = 0
        """Of bodies that were answered from the store; an estimate where hits are sampled."""
        counters.sample_at = counters.hits + 1

    def looked_up(self, request: InboundRequest, what: str, stored: StoredResponse | None) -> None:
        """For `CacheEngine.on_looked_up`."""
        if what == "hit" and stored is not None:
            if self._counters.hits >= self._counters.sample_at:
                self.sample(stored)
            return
        key = self._key_of(request)
        # A stale one that was sent, or joined; without what is stored `stale` is a question to the app.
        spared = 1 if stored is not None or what == "collapsed" else 0
        self._count(key, 1, spared)
        if stored is not None:
            self.bytes_from_store += len(stored.body)
        if not spared:
            self._count_miss(key, what)

    def missed(self, key: bytes, why: str) -> None:
        """The same, for who has no more than the key of a request that went to the app."""
        self._count(key, 1, 0)
        self._count_miss(key, why)

    def sample(self, stored: StoredResponse) -> None:
        """A hit that stands for all since the last one looked at; to be called when `sample_at` hits are reached."""
        counters = self._counters
        hits = counters.hits
        weight = hits - self._hits_seen
        self._hits_seen = hits
        now = self._now()
        self._settle(now)
        # A stride of random length (Park and Miller, 1988): who asks for URLs in turns must not meet the same ones.
        self._chance = self._chance * 48271 % 2147483647
        counters.sample_at = hits + 1 + self._chance % (2 * self._stride - 1)
        self._count(stored.key, weight, weight)
        self.bytes_from_store += weight * len(stored.body)

    def _settle(self, now: float) -> None:
        """How far apart samples are from now on."""
        if now - self._sampled_at > _SELDOM:
            self._stride = max(1, self._stride // 2)
            self._batch, self._batch_began = 0, now
        self._batch += 1
        if self._batch == _BATCH:
            if now - self._batch_began < _BATCH * _OFTEN and self._stride < _LONGEST_STRIDE:
                self._stride *= 2
            self._batch, self._batch_began = 0, now
        self._sampled_at = now

    def urls(self, most: int, *, with_query: bool) -> list[TopUrl]:
        """The rows with the most requests of late, then in total."""
        self._turn()
        table = self._urls if with_query else self._paths
        rows = [TopUrl(row.key, row.weight, row.part, row.recent, row.recent_part) for row in table.rows()]
        return sorted(rows, key=lambda row: (-row.recent, -row.requests, row.key))[:most]

    def misses(self, most: int, *, with_query: bool) -> list[TopMiss]:
        """The URLs with the most misses of late, then in total; each once, whatever it was missed for."""
        self._turn()
        by_key: dict[bytes, list[Row[tuple[bytes, str]]]] = {}
        for row in (self._missed_urls if with_query else self._missed_paths).rows():
            by_key.setdefault(row.key[0], []).append(row)
        rows = [_of_all_reasons(key, parts) for key, parts in by_key.items()]
        return sorted(rows, key=lambda row: (-row.recent, -row.requests, row.key))[:most]

    def counted(self, *, with_query: bool) -> tuple[int, int]:
        """How many URLs, and how many missed ones, there is a row for."""
        urls, missed = (self._urls, self._missed_urls) if with_query else (self._paths, self._missed_paths)
        return len(urls), len({row.key[0] for row in missed.rows()})

    def _count(self, key: bytes, weight: int, spared: int) -> None:
        if self._now() >= self._window_ends:
            self._turn()
        self._urls.add(key[:_LONGEST_KEY], weight, spared)
        self._paths.add(_path(key), weight, spared)

    def _count_miss(self, key: bytes, why: str) -> None:
        example = short_key(key)
        self._missed_urls.add((key[:_LONGEST_KEY], why), 1, 0, example)
        self._missed_paths.add((_path(key), why), 1, 0, example)

    def _turn(self) -> None:
        now = self._now()
        if now - self._sampled_at > _SILENCE:
            # It was busy and is not any more: a sparse sample would say nothing for minutes.
            self._stride = 1
            self._counters.sample_at = self._counters.hits + 1
        while now >= self._window_ends:
            for table in (self._urls, self._paths):
                table.turn()
            for missed in (self._missed_urls, self._missed_paths):
                missed.turn()
            # After a long silence one more turn empties the window before as well; there is no need for all of them.
            self._window_ends = max(self._window_ends + WINDOW_SECONDS, now - WINDOW_SECONDS)


def _of_all_reasons(key: bytes, rows: list[Row[tuple[bytes, str]]]) -> TopMiss:
    rows = sorted(rows, key=lambda row: (-row.weight, row.key[1]))
    first = rows[0]
    return TopMiss(
        key,
        first.key[1],
        sum(row.weight for row in rows),
        sum(row.recent for row in rows),
        first.note,
        {row.key[1]: row.weight for row in rows},
    )


def _path(key: bytes) -> bytes:
    return key.partition(b"?")[0][:_LONGEST_KEY]

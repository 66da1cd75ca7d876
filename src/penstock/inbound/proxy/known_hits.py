"""Hits that need no thinking: requests whose bytes came before, and whose answer is ready.

Clients repeat themselves: the same browser, bot or service sends the same head again and again. What parsing and the
rules made of these bytes is the same too, as long as the stored response they led to is fresh, alive, and nothing has
been stored that they could select instead. So the bytes are looked up, and the answer with the Age of this second is
sent.

Where only such fields are new that say nothing of the answer (who the client is, its cookies), what remains of the
request is looked up instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse
from ...stores.variants import Resource
from ..cache.bounded_table import BoundedTable, Sights, share_of
from ..cache.counters import CacheCounters

MAX_BODY = 64 * 1024
MAX_REQUEST = 4096
_MAX_KNOWN = 8192
_PART = 32
_HIT_BYTES = 144
"""A KnownHit (80), and the float and the int of its own."""
_EACH = 15
"""Of so many plain requests, and one, the last is remembered as it came: a power of two less one."""

# Fields that say nothing of which stored response answers a GET, and nothing of how: with these alone, the request is
# known by its first line, its Host and (for Vary) its Accept-Encoding. Names as clients write them; others are parsed.
_INDIFFERENT = (
    rb"User-Agent|Accept|Accept-Language|Cookie|Referer|DNT|Sec-[A-Za-z\-]{1,40}|Upgrade-Insecure-Requests|Priority"
)
_PLAIN = re.compile(
    rb"(GET /[!$-;=?-Z_a-z~]* HTTP/1\.1\r\n)"
    rb"(?:(Host: [^\r\n\0]+\r\n)|(Accept-Encoding: [\x20-\x7e]*\r\n)|Connection: keep-alive\r\n|(?:"
    + _INDIFFERENT
    + rb"):[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_ENCODING = (b"accept-encoding",)


def plain_form(data: bytes) -> tuple[bytes, bytes] | None:
    """What a request says that matters, without and with its Accept-Encoding; None where it has to be parsed.

    Whoever gives a request to `learn` has parsed it, so equal forms are the same request, whatever else they say: a
    browser that is new to the cache, or a cookie, does not make a request another one.
    """
    plain = match_plain(data)
    if plain is None:
        return None
    line, host, encoding = plain.groups(b"")
    return line + host, line + host + encoding


def match_plain(data: bytes) -> re.Match[bytes] | None:
    """The parts of a plain request: its first line, its Host line and, if it has one, its Accept-Encoding line."""
    if len(data) > MAX_REQUEST:
        return None
    plain = _PLAIN.fullmatch(data)
    if plain is None or data.count(b"\nHost: ") != 1 or data.count(b"\nAccept-Encoding: ") > 1:
        return None
    return plain


class KnownHit:
    """What a request's bytes lead to: `stored`, as long as `resource` has the version `version`."""

    __slots__ = ("by_cookie", "fresh_until", "resource", "stored", "version")

    def __init__(self, resource: Resource, stored: StoredResponse, fresh_until: float, by_cookie: bool) -> None:
        self.resource = resource
        self.version = resource.version
        self.stored = stored
        self.fresh_until = fresh_until
        self.by_cookie = by_cookie
        """A request with cookies may be another one, though it is plain."""


class KnownHits:
    """At most 8192 requests and a 32nd of the store's budget in each of three tables; the oldest goes first.

    Requests are kept as they are, not as their digest: to hash one costs more than all the rest of a known hit.

    `make(stored, now)` gives the answer's bytes for one moment, and the moment until which they are right. They are
    kept at the stored response, for all who ask for it in one way or another, and charged to the store's budget.
    """

    def __init__(
        self,
        store: MemoryStore,
        counters: CacheCounters,
        now: Callable[[], float],
        make: Callable[[StoredResponse, float], tuple[bytes, float]],
    ) -> None:
        self._store = store
        self._counters = counters
        self._now = now
        self._make = make
        self._table, self._plain, self._plain_by_encoding = self._tables = tuple(
            BoundedTable[KnownHit](store, share_of(store, _PART), _MAX_KNOWN, lambda _: _HIT_BYTES) for _ in range(3)
        )
        self._find = self._table.entries.get
        self._sights = Sights(store)
        self.unknown: re.Match[bytes] | None = None
        """The parts of the last request that was found to be plain; whose it is tells its `string`."""
        self.on_sample: Callable[[StoredResponse], None] = _nothing
        """Told of the hit that reaches `CacheCounters.sample_at`."""

    def answer(self, data: bytes) -> bytes | None:
        """The complete answer to the request `data`, or None where it has to be looked at."""
        known = self._find(data)
        if known is None:
            known = self._find_plain(data)
            if known is None:
                return None
        now = self._now()
        stored = known.stored
        if stored.valid_at != self._store.purges or known.version != known.resource.version or now >= known.fresh_until:
            self._forget(data)
            return None
        wire = stored.wire
        if wire is None or now >= stored.wire_until:
            # The Age in it is no longer right.
            wire, until = self._make(stored, now)
            self._store.keep_wire(stored, wire, until)
        counters = self._counters
        counters.requests += 1
        counters.hits = hits = counters.hits + 1
        stored.hits += 1
        stored.visited = True
        if hits >= counters.sample_at:
            self.on_sample(stored)
        return wire

    def _find_plain(self, data: bytes) -> KnownHit | None:
        self.unknown = match = match_plain(data)
        if match is None or not (self._plain.entries or self._plain_by_encoding.entries):
            return None
        line, host, encoding = match.groups(b"")
        form = line + host
        # Tables of their own: a form is no request, and must not be found by bytes that look like it.
        known = self._plain.entries.get(form) or self._plain_by_encoding.entries.get(form + encoding)
        if known is not None and known.by_cookie and b"\nCookie:" in data:
            return None
        if known is not None and not self._counters.hits & _EACH:
            # What comes again and again is soon found by its bytes; what comes once seldom gets there.
            self._table.keep(data, known)
        return known

    def learn(
        self, data: bytes, resource: Resource, stored: StoredResponse, fresh_until: float, *, by_cookie: bool = False
    ) -> None:
        """`data` is answered by `stored` as it is, until `fresh_until` on the monotonic clock: remember that.

        `by_cookie`: whether it is depends on the cookies of the request, by the policy or by what is stored.
        A plain form at once, as others have the same; what is known only by its bytes when it comes again.
        """
        if len(data) > MAX_REQUEST or len(stored.body) > MAX_BODY:
            return
        plain = plain_form(data)
        if plain is not None and resource is stored and not stored.vary:
            self._plain.keep(plain[0], KnownHit(resource, stored, fresh_until, by_cookie))
        elif plain is not None and all(names == _ENCODING for names in resource.vary_lists):
            self._plain_by_encoding.keep(plain[1], KnownHit(resource, stored, fresh_until, by_cookie))
        elif self._sights.seen(hash(data)):
            # What has a field of its own seldom comes again, and would push out what does.
            self._table.keep(data, KnownHit(resource, stored, fresh_until, by_cookie))

    def drop_dead(self) -> None:
        """Let go of responses that have left the store. Two milliseconds at most; call it about once a second."""
        for table in self._tables:
            for data in [data for data, known in table.entries.items() if not known.stored.alive]:
                table.drop(data)

    def _forget(self, data: bytes) -> None:
        self._table.drop(data)
        plain = plain_form(data)
        if plain is not None:
            self._plain.drop(plain[0])
            self._plain_by_encoding.drop(plain[1])

    def clear(self) -> None:
        """Have every request looked at again."""
        for table in self._tables:
            table.clear()
        self._sights.clear()

    def __len__(self) -> int:
        return sum(map(len, self._tables))


def _nothing(_stored: StoredResponse) -> None:
    """Nobody wants to know."""

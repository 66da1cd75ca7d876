"""Hits that need no thinking: requests that differ in nothing that matters from one whose answer is known.

As `known_hits`, but there are no bytes to look up, and clients send fields that are never the same twice. So a request
is known by the URL and by those of its fields that may make a difference (`field_names`), as they are. Its conditions
decide only how it is answered. A way to ask is remembered when it comes again, which most never do: to keep and charge
what is not used made their look-up a fifth dearer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ...messages import RawFields
from ...rules.caching.http_fields import ONE_HOP, combine
from ...rules.caching.request import CacheRequest
from ...stores.stored_response import StoredResponse, bytes_of
from ...stores.variants import Resource
from ..cache.answers import age_right_until, answer_stored, fresh_until, hit_fields
from ..cache.bounded_table import Sights, share_of
from ..cache.engine import CacheEngine
from .field_names import CONDITIONS, OF_ONE_CLIENT, Field, FieldNames, split_conditions
from .reply import AsgiReply
from .request import MOST_FIELDS, AsgiRequest, Scope, Send

_COOKIE = frozenset({b"cookie"})
_NOTHING: frozenset[bytes] = frozenset()
_MOST_ANSWERS = 8192
_LONGEST_WAY = 4096
_PART = 16
_ANSWER_BYTES = 900
"""A KnownAnswer (88) with its numbers, a _KnownUrl (56) with its dict (232), the tuples of URL and way, both places."""
_FIELD_BYTES = 96
"""A pair, and its place in a list or tuple."""
_MOST_AROUND = 56
"""What a bytes object takes besides its bytes, at most (see `bytes_of`): to be sure is cheaper than to be exact."""
_SENT_FIELD_BYTES = _FIELD_BYTES + 2 * bytes_of(1)
"""A field that is ready to be sent, besides its bytes."""

Url = tuple[str, bytes | None, bytes, str, str]


class KnownAnswer:
    """What a request leads to: `stored`, as long as `resource` has the version `version`."""

    __slots__ = ("fields", "fresh_until", "resource", "right_until", "size", "stored", "version")

    def __init__(self, resource: Resource, stored: StoredResponse) -> None:
        self.resource = resource
        self.version = resource.version
        self.stored = stored
        self.fresh_until = fresh_until(stored)
        self.fields: RawFields = []
        self.right_until = 0.0
        """Until when the Age in `fields` is right."""
        self.size = 0
        """Bytes that the budget of the store is charged for it."""

    async def send_whole(self, send: Send) -> None:
        """Send it. A client that has gone is no error."""
        # What is around us may change a message, so each gets its own.
        start = {"type": "http.response.start", "status": self.stored.status, "headers": self.fields.copy()}
        try:
            await send(start)
            await send({"type": "http.response.body", "body": self.stored.body})
        except OSError:
            # How ASGI 2.4 says that the client has gone.
            return


class _KnownUrl:
    """The ways to ask for one URL; names in `varies` make a difference to its answer, whatever they are elsewhere."""

    __slots__ = ("varies", "ways")

    def __init__(self) -> None:
        self.varies: frozenset[bytes] = frozenset()
        self.ways: dict[tuple[Field, ...], KnownAnswer] = {}


class KnownAnswers:
    """At most 8192, and a 16th of the store's budget; when full it starts over, as what is hot comes back at once."""

    def __init__(self, engine: CacheEngine) -> None:
        self._engine = engine
        self._store = engine.store
        self._now = engine.clock.now
        self._counters = engine.counters
        self._urls: dict[Url, _KnownUrl] = {}
        self._answers = 0
        self._max_bytes = share_of(engine.store, _PART)
        self._bytes = 0
        self._sights = Sights(engine.store)
        self._names = FieldNames(engine.store, self._sights)

    def find(self, scope: Scope) -> KnownAnswer | AsgiReply | None:
        """What answers this GET, fresh and with the Age of this second; None where it has to be looked at."""
        known = self._urls.get(_url(scope))
        if known is None:
            return None
        names, varies, headers = self._names.lower, known.varies, scope["headers"]
        try:
            if varies:
                way = tuple([field for field in headers if (name := names.get(field[0])) is None or name in varies])
            else:
                way = tuple([field for field in headers if field[0] not in names])
            answer = known.ways.get(way)
            conditions: list[Field] = []
            if answer is None:
                way, conditions = split_conditions(self._names.way_of(way, varies))
                answer = None if conditions and not _may_be_split(way, varies) else known.ways.get(way)
            if answer is None or len(headers) > MOST_FIELDS:
                return None
        except TypeError:
            # The server uses lists where tuples would do.
            return None
        now = self._now()
        stored = answer.stored
        if (
            stored.valid_at != self._store.purges
            or answer.version != answer.resource.version
            or now >= answer.fresh_until
        ):
            return None
        counters = self._counters
        counters.requests += 1
        counters.hits += 1
        stored.hits += 1
        stored.visited = True
        if conditions:
            return self._under_conditions(conditions, stored, now)
        if now >= answer.right_until:
            self._renew(answer, now)
        return answer

    def _under_conditions(self, conditions: list[Field], stored: StoredResponse, now: float) -> AsgiReply:
        """The whole or a 304, as it would be without this table."""
        reply = AsgiReply([], head_only=False)
        request = CacheRequest(b"GET", b"", b"", b"", combine(conditions))
        if answer_stored(reply, request, stored, hit_fields(stored, now - stored.received_at)) == 304:
            self._counters.not_modified += 1
        return reply

    def _renew(self, answer: KnownAnswer, now: float) -> None:
        stored = answer.stored
        resident = now - stored.received_at
        length = (b"content-length", b"%d" % len(stored.body))
        framing = [] if stored.status in (204, 304) else [length]
        answer.fields = [*stored.fields, *hit_fields(stored, resident), *framing]
        answer.right_until = age_right_until(stored, resident)

    def learn(self, request: AsgiRequest, stored: StoredResponse) -> None:
        """`request` was answered by `stored`, as it is: remember that, if it is not the first time."""
        if request.method != b"GET" or stored.status == 206 or not OF_ONE_CLIENT.isdisjoint(request.fields):
            return
        headers = request.scope["headers"]
        try:
            way = self._names.way_of(headers, _NOTHING)
            if not CONDITIONS.isdisjoint(request.fields):
                way, _ = split_conditions(way)
            mark = hash((stored.key, way))
        except TypeError:
            # The server uses lists: `find` would never find it.
            return
        if self._sights.seen(mark):
            self._remember(request, stored, headers)

    def _remember(self, request: AsgiRequest, stored: StoredResponse, headers: Sequence[Field]) -> None:
        resource = self._store.get(stored.key)
        if resource is None or len(request.target) > _LONGEST_WAY:
            return
        varies = frozenset([name for names in resource.vary_lists for name in names])
        by_policy = request.policy.bypass_cookies or stored.freshness.strangers_only
        if by_policy or len(resource.vary_lists) > 1:
            # Here a cookie makes another request of it, by the policy or by what is stored.
            varies |= _COOKIE
        way, conditions = split_conditions(self._names.way_of(headers, varies))
        if conditions and not _may_be_split(way, varies):
            return
        length = sum([len(name) + len(value) for name, value in way])
        if length <= _LONGEST_WAY:
            way_bytes = length + len(way) * (_FIELD_BYTES + 2 * _MOST_AROUND)
            self._keep(_url(request.scope), varies, way, KnownAnswer(resource, stored), way_bytes)

    def _keep(
        self, url: Url, varies: frozenset[bytes], way: tuple[Field, ...], answer: KnownAnswer, way_bytes: int
    ) -> None:
        answer.size = _bytes_of_answer(url, varies, answer.stored) + way_bytes
        self._drop(url, way)
        if self._answers >= _MOST_ANSWERS or self._bytes + answer.size > self._max_bytes:
            self._start_over()
        if answer.size > self._max_bytes or not self._store.charge_table(answer.size):
            return
        self._bytes += answer.size
        self._answers += 1
        known = self._urls.setdefault(url, _KnownUrl())
        known.varies = varies
        known.ways[way] = answer

    def _drop(self, url: Url, way: tuple[Field, ...]) -> None:
        known = self._urls.get(url)
        answer = None if known is None else known.ways.pop(way, None)
        if known is None or answer is None:
            return
        if not known.ways:
            del self._urls[url]
        self._answers -= 1
        self._bytes -= answer.size
        self._store.charge_table(-answer.size)

    def drop_dead(self) -> None:
        """Let go of responses that have left the store; call it about once a second."""
        dead = [
            (url, way)
            for url, known in self._urls.items()
            for way, answer in known.ways.items()
            if not answer.stored.alive
        ]
        for url, way in dead:
            self._drop(url, way)

    def clear(self) -> None:
        """Have every request looked at again, as if none had come."""
        self._start_over()
        self._sights.clear()
        self._names.clear()

    def _start_over(self) -> None:
        self._urls.clear()
        self._answers = 0
        self._store.charge_table(-self._bytes)
        self._bytes = 0

    def __len__(self) -> int:
        return self._answers


def _may_be_split(way: tuple[Field, ...], varies: frozenset[bytes]) -> bool:
    """Whether conditions select nothing here, and no Connection field takes them out."""
    return CONDITIONS.isdisjoint(varies) and all(
        value in ONE_HOP for name, value in way if name.lower() == b"connection"
    )


def _url(scope: Scope) -> Url:
    get = scope.get
    return scope["path"], get("raw_path"), get("query_string", b""), get("scheme", "http"), get("root_path", "")


def _bytes_of_answer(url: Url, varies: frozenset[bytes], stored: StoredResponse) -> int:
    """What it takes to know that a way to ask for `url` is answered by `stored`, its fields ready to be sent."""
    path, raw_path, query, _, _ = url
    size = _ANSWER_BYTES + sys.getsizeof(path) + len(raw_path or b"") + len(query) + 2 * _MOST_AROUND
    size += sys.getsizeof(varies)
    packed = stored.packed_fields
    # Those of its own, and Cache-Status, Age and Content-Length; two bytes objects for each.
    return size + len(packed) + (packed.count(b"\r\n") + 3) * _SENT_FIELD_BYTES

"""What is stored by a remembered verdict is what the general path stores; the tables stay within the budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.inbound.cache.app_clock import AppClock
from penstock.inbound.cache.bounded_table import LEAST_SHARE
from penstock.inbound.cache.plain_verdicts import LONGEST_PLAIN, PlainVerdicts
from penstock.inbound.proxy.known_hits import plain_form
from penstock.rules.caching.http_fields import HOP_BY_HOP
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.verdicts import ABSENT_OF_REQUEST, Kind, KindVerdict, verdict_of
from penstock.stores.memory import MemoryStore
from penstock.stores.stored_response import StoredResponse
from penstock.wire.plain_heads import PlainHead
from penstock.wire.streams.stream_reader import StreamReader

from .fakes import Bench

DATE = "Tue, 01 Dec 2026 12:00:00 GMT"
WALL = 1_796_126_400.0
BODY = b"hello"
SAFE = CacheOptions()


def head_of(*lines: str, status: str = "200 OK", length: int = 5) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length}", *lines, "", ""]).encode("latin-1")


def verdicts(options: CacheOptions = SAFE, memory: int = 1 << 24, **bounds: Any) -> PlainVerdicts:
    return PlainVerdicts(MemoryStore(memory, **bounds), options)


def read(table: PlainVerdicts, head: bytes) -> PlainHead:
    found = table.head(head + BODY, len(head))
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP - {b"connection", b"keep-alive"}))
def test_what_is_between_two_hops_is_never_plain(name: bytes) -> None:
    table = verdicts()
    head = head_of(f"{name.decode()}: 1")
    assert table.head(head + BODY, len(head)) is None
    assert table.not_plain == {name.decode(): 1}


class SetClock:
    """It shows what a test has set."""

    def __init__(self, wall: float) -> None:
        self.moment = 1000.0
        self._wall = wall

    def now(self) -> float:
        return self.moment

    def wall(self) -> float:
        return self._wall

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds


class Both:
    """One answer, judged by the general path, and by the table."""

    def __init__(self, options: CacheOptions, wall: float, *, cookie: bool, behind: float | None) -> None:
        self.clock = SetClock(wall)
        self.bench = Bench(options=options, clock=self.clock)
        engine = self.bench.engine
        if behind is not None:
            engine.app_clock.look(behind, self.clock.now())
        engine.app_clock.next_look = float("inf")
        self.table = PlainVerdicts(MemoryStore(1 << 24), options)
        self.cookie = cookie

    def general(self, head: bytes) -> tuple[StoredResponse | None, bytes]:
        asked = {"cookie": "a=b"} if self.cookie else {}
        reply = self.bench.send("/a", host="shop.example", accept="*/*", **asked)
        self.began = self.bench.engine.clock.now()
        fetch = self.bench.origin[-1]
        reader = StreamReader("the origin")
        reader.begin(head_only=False)
        reader.feed(head + BODY)
        said = reader.take_head()
        assert said is not None
        self.clock.moment += 0.25
        self.now = self.bench.engine.clock.now()
        fetch.receiver.on_head(*said)
        fetch.body(BODY)
        fetch.end()
        found = self.bench.store.get(b"http://shop.example/a")
        return (None if found is None else found.newest(1)[0]), reply.cache_status

    def check(self, head: bytes) -> bool:
        """Whether there is a verdict; if so, it makes what the general path makes."""
        stored, cache_status = self.general(head)
        engine = self.bench.engine
        plain = self.table.head(head + BODY, len(head))
        verdict = None if plain is None else self.table.of(plain, cookie=self.cookie)
        if plain is None or verdict is None:
            assert sum(self.table.not_plain.values()) == 1
            return False
        packed = plain.packed if plain.date is not None else None
        if packed is None:
            assert stored is None or stored.fields[-1][0] == b"date"
            packed = plain.packed + b"date: %b\r\n" % (b"" if stored is None else stored.fields[-1][1])
        mine = None
        if verdict.stores:
            mine = self.table.to_store(
                verdict,
                plain,
                BODY,
                key=b"http://shop.example/a",
                sequence=0,
                began=self.began,
                now=self.now,
                wall=self.clock.wall(),
                app_clock=engine.app_clock,
                packed=packed,
            )
            if mine is None:
                assert engine.counters.uncacheable == {"must-validate": 1}
                return False
        assert verdict.stores is (stored is not None)
        if stored is not None and mine is not None:
            assert facts(mine) == facts(stored)
            assert size_of(mine) == stored.size
            assert engine.counters.uncacheable == {}
            return True
        assert engine.counters.uncacheable == {verdict.detail: 1}
        assert cache_status == b"penstock; fwd=uri-miss; detail=%b" % (verdict.detail or "").encode()
        refused = engine.refusals.of_all_kinds(b"http://shop.example/a", self.now)
        assert [each.for_all for _, each in refused] == [verdict.for_all]
        assert [each.verdict for _, each in refused] == [verdict.decision]
        return True


def size_of(stored: StoredResponse) -> int:
    """What a store charges for it."""
    assert MemoryStore(1 << 24).put(stored)
    return stored.size


def facts(stored: StoredResponse) -> dict[str, Any]:
    names = ("key", "vary", "variant", "codings", "status", "reason", "packed_fields", "body", "freshness", "tags")
    more = ("received_at", "sequence", "first_byte", "total_length")
    return {name: getattr(stored, name) for name in (*names, *more)}


def judged_twice(
    head: bytes, options: CacheOptions = SAFE, *, wall: float = WALL, cookie: bool = False, behind: float | None = None
) -> bool:
    async def play() -> bool:
        both = Both(options, wall, cookie=cookie, behind=behind)
        try:
            return both.check(head)
        finally:
            both.bench.engine.close()

    return asyncio.run(play())


LINES = st.lists(
    st.sampled_from(
        [
            *(
                "Cache-Control: max-age=60",
                "cache-control: public",
                "Cache-Control: no-store",
                "Cache-Control: private",
            ),
            *(
                "Cache-Control: s-maxage=9, stale-while-revalidate=30",
                "Cache-Control: no-cache",
                "CDN-Cache-Control: x",
            ),
            *(
                "CDN-Cache-Control: max-age=7",
                "Cache-Control: max-age=0",
                "Cache-Control: max-age=99, stale-if-error=5",
            ),
            *('ETag: "x"', "Last-Modified: Tue, 01 Dec 2026 10:00:00 GMT", "Set-Cookie: a=b", "Set-Cookie: c=d"),
            *("Expires: Tue, 01 Dec 2026 13:00:00 GMT", "Expires: 0", "Pragma: no-cache", "Vary: Accept", "Age: 5"),
            *("Content-Type: text/event-stream", "Content-Type: text/html", "Content-Encoding: gzip", "Via: 1.0 a"),
            *("Connection: keep-alive", "Keep-Alive: timeout=5", "Surrogate-Key: a b", "X-A: b", "X-A: c", "Server: d"),
            *("Content-Encoding: identity", "Content-Location: /b", "Location: /c", "x-a: é", "Trailer: x"),
        ]
    ),
    max_size=6,
)
STATUSES = st.sampled_from(
    ["200 OK", "200 ", "404 Not Found", "301 Moved", "500 Oops", "429 Slow", "410 Gone", "299 x"]
)


@given(
    LINES,
    STATUSES,
    st.sampled_from([SAFE, CacheOptions(profile="rfc"), CacheOptions(targeted=()), CacheOptions(heuristic_share=0.0)]),
    st.booleans(),
    st.sampled_from([None, DATE, "Tue, 01 Dec 2026 11:00:00 GMT", "Tue, 01 Dec 2026 13:00:00 GMT", "x"]),
    st.sampled_from([None, 0.0, 3600.0]),
)
def test_both_ways_store_and_refuse_the_same(
    lines: list[str], status: str, options: CacheOptions, cookie: bool, date: str | None, behind: float | None
) -> None:
    dated = lines if date is None else [*lines, f"Date: {date}"]
    judged_twice(head_of(*dated, status=status), options, cookie=cookie, behind=behind)


@pytest.mark.parametrize(
    ("lines", "has_verdict"),
    [
        (("Cache-Control: max-age=60", f"Date: {DATE}", 'ETag: "x"'), True),
        (("Cache-Control: max-age=60", "Server: a"), True),
        (("Cache-Control: max-age=60", "Expires: 0"), True),
        (("Cache-Control: private",), True),
        ((), True),
        (("Cache-Control: max-age=60", "Vary: Accept-Encoding"), False),
        (("Cache-Control: max-age=60", "Age: 5"), False),
        (("Cache-Control: max-age=60", "Via: 1.1 a"), False),
        (("Cache-Control: max-age=60", "Surrogate-Key: a"), False),
        (("Expires: Tue, 01 Dec 2026 13:00:00 GMT",), False),
        (("Last-Modified: Tue, 01 Dec 2026 10:00:00 GMT",), False),
        (('ETag: "x"',), False),
    ],
)
def test_which_answers_have_a_verdict(lines: tuple[str, ...], has_verdict: bool) -> None:
    """And what it makes of them is what the general path makes."""
    assert judged_twice(head_of(*lines)) is has_verdict


def test_a_head_that_comes_twice_is_remembered() -> None:
    table, head = verdicts(), head_of("Cache-Control: max-age=60")
    first = read(table, head)
    second = read(table, head)
    assert first is not second
    assert read(table, head) is second


def test_heads_that_never_repeat_are_not_kept() -> None:
    table = verdicts()
    for number in range(500):
        read(table, head_of("Cache-Control: max-age=60", f'ETag: "{number}"'))
    assert len(table._heads) == 0
    assert len(table._lines) == 2


def test_a_verdict_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = verdicts()
    asked: list[Kind] = []

    def judge(kind: Kind, options: CacheOptions, *, max_length: float) -> KindVerdict | str:
        asked.append(kind)
        return verdict_of(kind, options, max_length=max_length)

    monkeypatch.setattr("penstock.inbound.cache.plain_verdicts.verdict_of", judge)
    for number in range(5):
        for cookie in (False, True):
            assert table.of(read(table, head_of("Cache-Control: max-age=60", f"ETag: {number}")), cookie=cookie)
        assert table.of(read(table, head_of("ETag: a", f"X-A: {number}")), cookie=False) is None
    assert len(asked) == 3
    assert table.not_plain == {"must-validate": 5}
    table.clear()
    assert table.of(read(table, head_of("Cache-Control: max-age=60")), cookie=False)
    assert len(asked) == 4


def test_what_is_not_plain_is_counted_by_why() -> None:
    table = verdicts()
    for head in (head_of("Vary: a"), head_of("Vary: b"), head_of("A : b"), head_of(status="304 Not Modified")):
        assert table.head(head, len(head)) is None
    assert table.not_plain == {"vary": 2, "syntax": 1, "status": 1}


def test_a_long_body_is_judged_each_time() -> None:
    table = verdicts()
    fits, too_long = (head_of("Cache-Control: max-age=60", length=LONGEST_PLAIN + more) for more in (0, 1))
    assert table.of(read(table, fits), cookie=False)
    assert table.of(read(table, too_long), cookie=False) is None
    assert table.not_plain == {"too-large": 1}
    small = verdicts(memory=1 << 20, max_object_bytes=1000)
    assert small.of(read(small, head_of("Cache-Control: max-age=60", length=1001)), cookie=False) is None


@pytest.mark.parametrize("memory", [1 << 17, 1 << 22, 1 << 28])
def test_the_tables_are_charged_and_stay_in_their_share(memory: int) -> None:
    """Whatever the app says."""
    store = MemoryStore(memory)
    table = PlainVerdicts(store, SAFE)
    empty = store.table_bytes
    for number in range(6000):
        head = head_of(f"Cache-Control: max-age={number}", f"X-Id: {number:0400d}", f"Content-Type: a/{number}")
        for _ in range(2):
            table.of(read(table, head), cookie=bool(number & 1))
    tables = (table._heads, table._lines, table._verdicts, table._with_cookie)
    assert store.table_bytes - empty == sum(each.bytes_used for each in tables)
    assert all(0 < each.bytes_used <= max(LEAST_SHARE, memory // 64) for each in tables)
    table.clear()
    assert store.table_bytes == empty


@pytest.mark.parametrize("name", sorted(ABSENT_OF_REQUEST))
def test_what_the_rules_may_take_for_absent_is_in_no_plain_request(name: bytes) -> None:
    for spelt in (name, name.title()):
        assert plain_form(b"GET /a HTTP/1.1\r\nHost: a\r\n%b: x\r\n\r\n" % spelt) is None
    assert plain_form(b"GET /a HTTP/1.1\r\nHost: a\r\nAccept: x\r\n\r\n") is not None


def test_the_clock_of_the_app_counts() -> None:
    """An old Date is the age of the answer where the clock of the app is known to be right."""
    table = verdicts()
    head = read(table, head_of("Cache-Control: max-age=5000", "Date: Tue, 01 Dec 2026 11:00:00 GMT"))
    verdict = table.of(head, cookie=False)
    assert verdict is not None
    clock = AppClock()
    moments: Any = {"began": 1.0, "now": 1.5, "wall": WALL, "app_clock": clock}
    found = [table.freshness(verdict, head, **moments)]
    clock.look(0.0, 1.0)
    found.append(table.freshness(verdict, head, **moments))
    assert [each.initial_age for each in found if each is not None] == [0.5, 3600.0]

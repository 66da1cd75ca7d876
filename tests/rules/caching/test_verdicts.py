"""A verdict of the rules is remembered by everything that they read: nothing that is not in the kind decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching import verdicts
from penstock.rules.caching.freshness import freshness_of
from penstock.rules.caching.http_fields import combine, end_to_end
from penstock.rules.caching.lookup import is_for_all
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.request import CacheRequest
from penstock.rules.caching.storing import fields_to_store, may_share
from penstock.rules.caching.undeclared_coding import vary_and_coding
from penstock.rules.caching.verdicts import (
    ABSENT_OF_REQUEST,
    BY_PRESENCE,
    COOKIE,
    GENERAL,
    MEASURED,
    Kind,
    KindVerdict,
    ReadFields,
    freshness_at,
    names_by_value,
    verdict_of,
)
from penstock.rules.caching.weighing import Weighed, weigh_answer

SAFE = CacheOptions()
RFC = CacheOptions(profile="rfc")
OPTIONS = [SAFE, RFC, CacheOptions(targeted=(b"x-cache-control", b"cdn-cache-control")), CacheOptions(targeted=())]
NO_HEURISTIC = CacheOptions(heuristic_share=0.0)
LARGEST = 1 << 20
WALL = 1_800_000_000.0
DATE = b"Fri, 15 Jan 2027 08:00:00 GMT"

DIRECTIVES = st.sampled_from(
    [
        *(b"max-age=60", b"max-age=0", b"s-maxage=5", b"no-store", b"private", b"public", b"no-cache", b"immutable"),
        *(b"stale-while-revalidate=9", b"stale-if-error=9", b"must-understand", b"must-revalidate", b"max-age=x"),
        *(b"proxy-revalidate", b'private="set-cookie"', b'no-cache="a"', b"=", b"x=y"),
    ]
)
CACHE_CONTROL = st.lists(DIRECTIVES, min_size=1, max_size=3).map(b", ".join)
FIELD = st.one_of(
    st.tuples(st.sampled_from([b"cache-control", b"cdn-cache-control", b"x-cache-control"]), CACHE_CONTROL),
    st.tuples(st.just(b"content-type"), st.sampled_from([b"text/html", b"Text/Event-Stream; a=b", b"a"])),
    st.tuples(st.just(b"content-encoding"), st.sampled_from([b"gzip", b"identity", b"br, gzip"])),
    st.tuples(st.just(b"pragma"), st.sampled_from([b"no-cache", b"x"])),
    st.tuples(st.just(b"last-modified"), st.sampled_from([b"Fri, 15 Jan 2027 07:00:00 GMT", b"x"])),
    st.tuples(st.just(b"expires"), st.sampled_from([b"Fri, 15 Jan 2027 09:00:00 GMT", b"0"])),
    st.tuples(st.sampled_from([b"etag", b"set-cookie", b"location", b"x-a", b"content-location"]), st.just(b'"x"')),
)
STATUSES = st.sampled_from([200, 203, 205, 299, 301, 302, 400, 404, 410, 414, 416, 429, 451, 500, 501, 503, 511, 599])
FIELDS = st.lists(FIELD, max_size=6).map(combine)


def kind_of(status: int, fields: Mapping[bytes, bytes], options: CacheOptions, *, cookie: bool = False) -> Kind:
    values = {name: value for name, value in fields.items() if name in names_by_value(options)}
    return Kind(status, values, BY_PRESENCE.intersection(fields), cookie)


def judge(
    fields: Mapping[bytes, bytes], *, status: int = 200, cookie: bool = False, options: CacheOptions = SAFE
) -> Any:
    return verdict_of(kind_of(status, fields, options, cookie=cookie), options, max_length=LARGEST)


def request(*, cookie: bool, fields: Mapping[bytes, bytes] | None = None) -> CacheRequest:
    # All that a plain request may have.
    asked = {b"host": b"h", b"accept": b"a", b"user-agent": b"b", b"accept-encoding": b"gzip", b"sec-x": b"c"}
    asked |= {COOKIE: b"a=b"} if cookie else {}
    return CacheRequest(b"GET", b"https", b"shop.example", b"/a?b", asked if fields is None else fields)


class Recorded(dict[bytes, bytes]):
    """All the fields of an answer, and which of them rules read: by value, and by presence."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        super().__init__(fields)
        self.by_value: set[bytes] = set()
        self.by_presence: set[bytes] = set()
        self.gone_through = False

    def __getitem__(self, name: bytes) -> bytes:
        self.by_value.add(name)
        return super().__getitem__(name)

    def get(self, name: bytes, default: Any = None) -> Any:
        self.by_value.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        self.by_presence.add(name)
        return super().__contains__(name)

    def __iter__(self) -> Iterator[bytes]:
        self.gone_through = True
        return super().__iter__()

    def items(self) -> Any:
        self.gone_through = True
        return super().items()


def all_rules(status: int, fields: Mapping[bytes, bytes], asked: CacheRequest, options: CacheOptions) -> Any:
    """What the general path asks of an answer that is no part, in its order."""
    weighed = weigh_answer(asked, status, fields, options, received_wall=WALL, length=5, max_length=LARGEST)
    if not weighed.verdict.allowed:
        return weighed, None, ()
    freshness = freshness_of(
        status, fields, weighed.directives, options, response_delay=0.25, received_wall=WALL, clock_behind=None
    )
    return weighed, freshness, vary_and_coding(fields, options)[0]


@given(STATUSES, FIELDS, st.booleans(), st.sampled_from(OPTIONS))
def test_every_name_that_a_rule_reads_is_part_of_the_kind(
    status: int, fields: dict[bytes, bytes], cookie: bool, options: CacheOptions
) -> None:
    """By value with its value, by presence at least by name: or there is no verdict."""
    verdict = judge(fields, status=status, cookie=cookie, options=options)
    if isinstance(verdict, str):
        return
    seen, asked = Recorded({b"date": DATE, **fields}), Recorded(request(cookie=cookie).fields)
    all_rules(status, seen, request(cookie=cookie, fields=asked), options)
    valued = names_by_value(options)
    # Of what has to be absent, that it is.
    assert seen.by_value & seen.keys() <= valued | MEASURED
    assert seen.by_value <= valued | BY_PRESENCE | GENERAL.keys() | MEASURED
    assert seen.by_presence <= valued | BY_PRESENCE | GENERAL.keys() | {b"content-length"}
    assert not seen.gone_through
    assert asked.by_value & asked.keys() == set()
    assert asked.by_presence | asked.by_value <= ABSENT_OF_REQUEST | {COOKIE}
    assert not asked.gone_through


@given(STATUSES, FIELDS, st.booleans(), st.sampled_from(OPTIONS), st.floats(0, 20))
def test_a_verdict_is_what_the_rules_say_of_each_answer_of_the_kind(
    status: int, fields: dict[bytes, bytes], cookie: bool, options: CacheOptions, delay: float
) -> None:
    verdict = judge(fields, status=status, cookie=cookie, options=options)
    if isinstance(verdict, str):
        return
    fields = {b"date": DATE, **fields}
    weighed, _, vary = all_rules(status, fields, request(cookie=cookie), options)
    assert verdict.decision == weighed.verdict
    assert verdict.stores is weighed.verdict.allowed
    assert verdict.detail == (None if verdict.stores else weighed.verdict.reason)
    for word in ("uri-miss", "miss", "vary-miss", "stale"):
        assert verdict.for_all is is_for_all(request(cookie=cookie), status, word, weighed.verdict)
    if verdict.freshness is None:
        assert not verdict.stores
        return
    assert not weighed.tags
    assert not vary
    raw = list(fields.items())
    assert end_to_end(fields_to_store(raw, weighed.directives, options)) == raw
    moments: Any = {"response_delay": delay, "received_wall": WALL + 7, "clock_behind": None}
    whole = freshness_of(status, fields, weighed.directives, options, **moments)
    assert freshness_at(verdict.freshness, DATE, **moments) == (whole if may_share(whole) else None)


@pytest.mark.parametrize("behind", [None, 0.0, -30.0, 1000.0])
@pytest.mark.parametrize("date", [None, DATE, b"Fri, 15 Jan 2027 06:00:00 GMT", b"Sun, 17 Jan 2027 06:00:00 GMT", b"x"])
def test_the_age_is_that_of_each_answer(date: bytes | None, behind: float | None) -> None:
    verdict = judge({b"cache-control": b"max-age=600"})
    fields = {b"cache-control": b"max-age=600"} | ({} if date is None else {b"date": date})
    weighed, _, _ = all_rules(200, fields, request(cookie=False), SAFE)
    moments: Any = {"response_delay": 0.5, "received_wall": WALL, "clock_behind": behind}
    whole = freshness_of(200, fields, weighed.directives, SAFE, **moments)
    assert freshness_at(verdict.freshness, date, **moments) == (whole if may_share(whole) else None)


def test_what_is_too_old_to_be_shared_has_no_freshness() -> None:
    verdict = judge({b"cache-control": b"max-age=5"})
    moments: Any = {"received_wall": WALL, "clock_behind": None}
    assert freshness_at(verdict.freshness, DATE, response_delay=4.9, **moments) is not None
    assert freshness_at(verdict.freshness, DATE, response_delay=5.0, **moments) is None


TOLD = b"cache-control"


@pytest.mark.parametrize(
    ("fields", "options", "said"),
    [
        # Stored.
        ({TOLD: b"max-age=60"}, SAFE, "explicit-freshness"),
        ({TOLD: b"max-age=60", b"etag": b"x", b"last-modified": b"y"}, SAFE, "explicit-freshness"),
        ({TOLD: b"max-age=60", b"expires": b"0"}, SAFE, "explicit-freshness"),
        ({TOLD: b"s-maxage=60, must-revalidate"}, SAFE, "explicit-freshness"),
        ({TOLD: b"max-age=60", b"content-encoding": b"gzip"}, RFC, "explicit-freshness"),
        ({TOLD: b"max-age=60", b"content-encoding": b"identity"}, SAFE, "explicit-freshness"),
        ({TOLD: b"max-age=60", b"set-cookie": b"a=b"}, RFC, "explicit-freshness"),
        ({b"cdn-cache-control": b"max-age=60", TOLD: b"no-store"}, SAFE, "explicit-freshness"),
        # Refused.
        ({}, SAFE, "no-freshness"),
        ({TOLD: b"no-store"}, SAFE, "no-store"),
        ({TOLD: b"no-store", b"expires": b"0", b"pragma": b"no-cache"}, SAFE, "no-store"),
        ({TOLD: b"private, max-age=60"}, SAFE, "private"),
        ({TOLD: b"max-age=60", b"set-cookie": b"a=b"}, SAFE, "set-cookie"),
        ({TOLD: b"max-age"}, SAFE, "malformed-cache-control"),
        ({TOLD: b"max-age=0"}, SAFE, "never-reusable"),
        ({b"content-type": b"text/event-stream"}, SAFE, "event-stream"),
        # Each is judged.
        ({b"last-modified": b"Fri, 15 Jan 2027 07:00:00 GMT"}, SAFE, "value of last-modified"),
        ({b"last-modified": b"x"}, NO_HEURISTIC, "value of last-modified"),
        ({b"expires": b"Fri, 15 Jan 2027 09:00:00 GMT"}, SAFE, "value of expires"),
        ({b"etag": b"x"}, SAFE, "must-validate"),
        ({TOLD: b"no-cache", b"etag": b"x"}, SAFE, "must-validate"),
        ({TOLD: b"max-age=0", b"etag": b"x"}, SAFE, "must-validate"),
        ({TOLD: b"max-age=60", b"content-encoding": b"gzip"}, SAFE, "vary"),
        ({TOLD: b'max-age=60, no-cache="a"'}, RFC, "cut-fields"),
        ({TOLD: b'max-age=60, private="a"'}, RFC, "cut-fields"),
    ],
)
def test_kinds(fields: dict[bytes, bytes], options: CacheOptions, said: str) -> None:
    verdict = judge(fields, options=options)
    assert (verdict if isinstance(verdict, str) else verdict.decision.reason) == said


def test_a_cookie_makes_another_kind() -> None:
    fields = {b"cache-control": b"max-age=60"}
    assert judge(fields).stores
    refused = judge(fields, cookie=True)
    assert (refused.detail, refused.freshness, refused.for_all) == ("request-cookie", None, True)


@pytest.mark.parametrize(("status", "for_all"), [(200, True), (404, True), (302, True), (400, False), (503, False)])
def test_errors_say_nothing_of_the_next_ones(status: int, for_all: bool) -> None:
    assert judge({b"cache-control": b"no-store"}, status=status).for_all is for_all


# A rule that reads more than is in the kind.

READS: dict[str, tuple[Callable[[Mapping[bytes, bytes]], object], str]] = {
    "a name that nobody knows": (lambda fields: fields.get(b"x-secret"), "value of x-secret"),
    "whether there is one": (lambda fields: b"x-secret" in fields, "value of x-secret"),
    "the value of what is only known to be there": (lambda fields: fields[b"etag"], "value of etag"),
    "the moment": (lambda fields: fields.get(b"date"), "value of date"),
    "all names": (list, "value of *"),
    "all fields": (lambda fields: list(fields.items()), "value of *"),
    "how many": (len, "value of *"),
    "names together": (lambda fields: frozenset({b"a"}).isdisjoint(fields), "value of *"),
    "a copy": (lambda fields: dict(fields), "value of *"),
}


@pytest.mark.parametrize("read", READS)
def test_a_rule_that_reads_something_else_gets_no_verdict(read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the answer."""
    look, said = READS[read]

    def weigh(asked: CacheRequest, status: int, fields: Mapping[bytes, bytes], *args: Any, **more: Any) -> Weighed:
        look(fields)
        return weigh_answer(asked, status, fields, *args, **more)

    fields = {b"cache-control": b"max-age=60", b"etag": b"x"}
    assert isinstance(judge(fields), KindVerdict)
    monkeypatch.setattr(verdicts, "weigh_answer", weigh)
    assert judge(fields) == said


@pytest.mark.parametrize(
    ("name", "said"), [(b"accept", "value of accept"), (COOKIE, "value of cookie"), (b"authorization", None)]
)
def test_nor_does_one_that_reads_something_else_of_the_request(
    name: bytes, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weigh(asked: CacheRequest, status: int, *args: Any, **more: Any) -> Weighed:
        asked.fields.get(name)
        return weigh_answer(asked, status, *args, **more)

    monkeypatch.setattr(verdicts, "weigh_answer", weigh)
    verdict = judge({b"cache-control": b"no-store"}, cookie=True)
    assert isinstance(verdict, KindVerdict) if said is None else verdict == said


def test_nor_does_a_lifetime_that_depends_on_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Date may be read for the age, and for nothing else."""

    def fresh(*args: Any, received_wall: float, **more: Any) -> Any:
        found = freshness_of(*args, received_wall=received_wall, **more)
        return found._replace(stale_while_revalidate=received_wall)

    monkeypatch.setattr(verdicts, "freshness_of", fresh)
    assert judge({b"cache-control": b"max-age=60"}) == "moment"


def test_the_mapping_says_what_it_holds() -> None:
    fields = ReadFields({b"a": b"1"}, frozenset({b"b"}), frozenset({b"a", b"b", b"c"}))
    assert (fields[b"a"], fields.get(b"c"), b"b" in fields, b"c" in fields, b"a" in fields) == (
        b"1",
        None,
        True,
        False,
        True,
    )
    assert (fields.by_value, fields.by_presence, fields.outside) == ({b"a", b"c"}, {b"a", b"b", b"c"}, set())
    assert fields[b"b"] == b""
    assert fields.outside == {b"b"}
    assert (list(fields), len(fields)) == ([b"a", b"b"], 2)


def test_no_name_is_in_two_tables() -> None:
    tables = [names_by_value(SAFE), BY_PRESENCE, GENERAL.keys(), MEASURED]
    assert sum(map(len, tables)) == len(frozenset().union(*tables))
    assert names_by_value(CacheOptions(targeted=(b"x-cache-control",))) >= {b"x-cache-control"}

"""Variants of one URL through the engine: one copy a body, no coding for who cannot read it, no flood, no stall."""

from __future__ import annotations

import time
from typing import Any

import pytest

from penstock.inbound.cache.explain import MOST_VARIANTS, explain_url
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.codings import CODINGS, offer_of
from penstock.testing import run_virtual

from .fakes import FRESH, Bench

REAL = [
    b"gzip",
    b"gzip, deflate",
    b"gzip,deflate",
    b"gzip, deflate, br",
    b"gzip, deflate, br, zstd",
    b"gzip;q=1.0, deflate;q=0.6, identity;q=0.3",
    b"x-gzip, gzip, deflate",
    b"gzip;q=1.0,*;q=0.5",
    b"gzip, foo",
    b"br;q=1.0, gzip;q=0.8, *;q=0.1",
    b"GZIP , deflate , br",
    b"identity",
    b"",
    b"*;q=0, identity",
]
VARY = ("vary", "accept-encoding")
URL = "http://shop.example/"


def chosen(offer: int) -> bytes | None:
    """What an app with brotli and gzip sends."""
    return next((name for name in (b"br", b"gzip") if CODINGS[name] & offer), None)


def coded(coding: bytes | None) -> list[tuple[str, str]]:
    return [FRESH, VARY, *([("content-encoding", coding.decode())] if coding else [])]


def ask(bench: Bench, accepts: bytes | None) -> tuple[bool, Any]:
    """Whether the app was asked, and the reply."""
    before = len(bench.origin)
    reply = bench.send("/", **({} if accepts is None else {"accept_encoding": accepts.decode()}))
    if len(bench.origin) > before:
        coding = chosen(offer_of(accepts))
        bench.origin[-1].answer(*coded(coding), body=coding or b"plain")
    return len(bench.origin) > before, reply


def test_real_spellings_are_one_copy_of_each_body() -> None:
    async def main() -> None:
        bench = Bench()
        asked = 0
        for turn in range(3):
            for accepts in REAL:
                was_asked, reply = ask(bench, accepts)
                asked += was_asked
                assert not (was_asked and turn), accepts
                assert reply.body in (b"br", b"gzip", b"plain")
                assert reply.body == b"plain" or CODINGS[reply.body] & offer_of(accepts)
        resource = bench.store.get(URL.encode())
        assert resource is not None
        assert sorted(each.body for each in resource) == [b"br", b"gzip", b"plain"]
        assert asked <= 9
        found = explain_url(bench.engine, URL, [(b"accept-encoding", b"gzip, foo")])
        assert [each["vary"] for each in found["variants"] if each["selected"]] == [
            {"accept-encoding": "any that leads to gzip"}
        ]
        bench.at_rest()

    run_virtual(main())


def test_the_app_sees_the_clients_own_words() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send("/", accept_encoding="BR;q=0.9 , gzip, foo")
        assert dict(bench.origin[-1].fields)[b"accept-encoding"] == b"BR;q=0.9 , gzip, foo"
        bench.origin[-1].answer(*coded(b"gzip"))
        bench.at_rest()

    run_virtual(main())


def test_a_coding_that_was_not_offered_is_for_the_same_words_alone() -> None:
    """An app that errs, or knows a coding that we do not: its clients have hits, and nobody else has that body."""

    async def main() -> None:
        for wrong in ("gzip", "dcb", "gzip, br"):
            bench = Bench()
            first = "zstd, dcb" if wrong == "dcb" else "zstd"
            ask(bench, b"zstd")  # plain: this much is known of those who accept zstd
            bench.send("/", accept_encoding="zstd, " + first.upper())
            count = len(bench.origin)
            bench.send("/", accept_encoding="deflate, " + first)
            assert len(bench.origin) == count + 1
            bench.origin[-1].answer(*coded(wrong.encode()), body=b"odd")
            same = bench.send("/", accept_encoding="deflate, " + first)
            assert (same.body, len(bench.origin)) == (b"odd", count + 1)
            for others in ("deflate", "zstd", "identity", "deflate, zstd, x"):
                reply = bench.send("/", accept_encoding=others)
                if len(bench.origin) > count + 1:
                    count += 1
                    bench.origin[-1].answer(*coded(None), body=b"plain")
                assert reply.body in (b"plain", b""), others
            bench.at_rest()

    run_virtual(main())


def test_who_waits_gets_what_is_his_and_nobody_another_coding() -> None:
    """20 at once, before anything is known, of an answer that comes slowly; and those who come after its head."""

    async def main() -> None:
        bench = Bench()
        waiting = [(value, bench.send("/", accept_encoding=value.decode())) for value in REAL]
        assert len(bench.origin) == 1
        bench.origin[0].head(*coded(chosen(offer_of(REAL[0]))))
        late = [(value, bench.send("/", accept_encoding=value.decode())) for value in REAL]
        assert len(bench.origin) < 9
        for fetch in bench.origin.fetches[1:]:
            accepts = dict(fetch.fields).get(b"accept-encoding")
            fetch.answer(*coded(chosen(offer_of(accepts))), body=chosen(offer_of(accepts)) or b"plain")
        bench.origin[0].body(chosen(offer_of(REAL[0])) or b"plain")
        bench.origin[0].end()
        await bench.turn()
        for value, reply in (*waiting, *late):
            assert reply.ended, value
            assert reply.body == b"plain" or CODINGS[reply.body] & offer_of(value), value
        bench.at_rest()

    run_virtual(main())


def test_an_app_that_learns_a_coding_is_believed_when_it_is_asked_again() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(*coded(b"gzip"), body=b"gzip", accept_encoding="gzip, br")
        bench.engine.purge_all()
        bench.fill(*coded(b"br"), body=b"br", accept_encoding="gzip, br")
        asked = len(bench.origin)
        assert bench.send("/", accept_encoding="br").body == b"br"
        assert len(bench.origin) == asked
        ask(bench, b"gzip")
        assert len(bench.origin) == asked + 1, "what gzip alone leads to is not known any more"
        bench.at_rest()

    run_virtual(main())


def test_a_flood_of_values_leaves_other_urls_and_hot_variants_alone() -> None:
    """Of any field, with what the engine remembers beside the store; one loop's turn is never long."""

    async def main() -> None:
        bench = Bench(memory=2 << 20)
        languages = [FRESH, ("vary", "accept-language")]
        for number in range(100):
            bench.fill(FRESH, target=f"/{number}", body=bytes(1000))
        for hot in range(10):
            bench.fill(*languages, accept_language=f"hot-{hot}", body=bytes(1000))
        for number in range(4000):
            bench.fill(*languages, accept_language=f"x-{number}", body=b"flood")
            bench.origin.fetches.clear()
            if number % 10 == 0:
                bench.send("/", accept_language=f"hot-{number // 10 % 10}")
                assert not len(bench.origin), number
        for number in range(100):
            bench.send(f"/{number}")
            assert not len(bench.origin), number
        store = bench.store
        assert store.bytes_used + store.table_bytes < (1 << 18) + 300_000
        assert (store.evictions, store.variant_evictions > 3000) == (0, True)
        found = explain_url(bench.engine, URL)
        assert len(found["variants"]) == MOST_VARIANTS < found["variants_stored"]
        assert found["variants_evicted"] == store.variant_evictions
        began = time.perf_counter()
        assert bench.engine.forget_url(URL.encode()) == found["variants_stored"]
        assert time.perf_counter() - began < 0.01
        bench.origin.fetches.clear()
        bench.send("/", accept_language="hot-1")
        bench.origin[0].answer(*languages)
        await bench.wait(3)
        assert store.objects == 101, "what was purged is let go of within seconds, in slices"
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize(
    ("asked", "seen"), [("de-CH, en;q=0.5", b"de"), ("en;q=0.9, DE;q=0.8", b"en"), ("fr", None), ("*", None)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_policys_languages_take_the_place_of_the_clients(asked: str, seen: bytes | None, method: str) -> None:
    async def main() -> None:
        bench = Bench(policy=Policy((), default=PathPolicy(accept_language=("de", "en"))))
        bench.send("/", method, accept_language=asked)
        assert dict(bench.origin[-1].fields).get(b"accept-language") == seen
        bench.origin[-1].answer(FRESH, ("vary", "Accept-Language"))
        bench.at_rest()

    run_virtual(main())


def test_all_who_get_one_language_share_it() -> None:
    """And a form is sent as it came: what it is answered with is nobody else's."""

    async def main() -> None:
        bench = Bench(policy=Policy((), default=PathPolicy(accept_language=("de", "en"))))
        for asked in ("de", "de-AT", "DE-ch, fr;q=0.9", "fr, de;q=0.1", "en", "en-GB,de;q=0.5", "fr", "", "*"):
            before = len(bench.origin)
            bench.send("/", accept_language=asked)
            if len(bench.origin) > before:
                bench.origin[-1].answer(FRESH, ("vary", "accept-language"))
        bench.send("/")
        assert len(bench.origin) == 3
        bench.send("/", "POST", accept_language="de-CH")
        assert dict(bench.origin[-1].fields)[b"accept-language"] == b"de-CH"
        bench.origin[-1].answer()
        bench.at_rest()

    run_virtual(main())

"""A coded body without `Vary: Accept-Encoding` goes only to who has offered the coding (profile safe)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .fakes import FRESH, Bench

GZIP = ("content-encoding", "gzip")
ETAG = ("etag", '"z"')
OFFERS = ["gzip", "gzip, deflate, br", "br;q=1, GZIP;q=0.2", "*"]
OTHERS = [None, "identity", "br", "gzip;q=0"]


def asked(accept: str | None, **more: Any) -> dict[str, Any]:
    return more if accept is None else {"accept_encoding": accept, **more}


@pytest.mark.parametrize("first", OFFERS[:3])
@pytest.mark.parametrize("accept", [*OFFERS, *OTHERS])
@pytest.mark.parametrize(
    "more", [{}, {"method": "HEAD"}, {"if_none_match": '"z"'}, {"range": "bytes=1-2"}], ids=["", "head", "304", "range"]
)
@pytest.mark.parametrize("profile", ["safe", "rfc"])
def test_who_is_given_it(first: str, accept: str | None, more: dict[str, str], profile: Any) -> None:
    """Whoever offers it in other words is: only who could not read it is not."""

    async def main() -> None:
        bench = Bench(options=CacheOptions(profile=profile))
        bench.fill(FRESH, GZIP, ETAG, body=b"zipped", **asked(first))
        reply = bench.send(**asked(accept, **more))
        given = profile == "rfc" or accept in OFFERS
        assert len(bench.origin) == (1 if given else 2)
        if given:
            assert b"; hit" in reply.cache_status
        else:
            bench.origin[1].answer(FRESH, ETAG, body=b"" if "method" in more else b"plain")
            assert reply.ended
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("streaming", [True, False])
def test_it_is_not_shared_on_its_way_with_who_has_not_offered_it(streaming: bool) -> None:
    """Those ask together; who comes later is told apart at once."""

    async def main() -> None:
        bench = Bench()
        zipped = [bench.send(**asked(each)) for each in OFFERS]
        plain = [bench.send(**asked("identity")) for _ in range(3)]
        assert len(bench.origin) == 1
        fetch = bench.origin[0].head(FRESH, GZIP, ETAG)
        if streaming:
            await bench.turn()
        late = bench.send(**asked("gzip")), bench.send(**asked("identity"))
        assert len(bench.origin) == 2
        fetch.body(b"zipped").end()
        bench.origin[1].answer(FRESH, ("etag", '"p"'), body=b"plain")
        assert [r.body for r in (*zipped, late[0])] == [b"zipped"] * 5
        assert [r.body for r in (*plain, late[1])] == [b"plain"] * 4
        assert len(bench.origin) == 2
        bench.at_rest()

    run_virtual(main())


def test_an_app_that_always_codes_is_asked_by_all_who_have_not_offered_it_at_once() -> None:
    """They must neither get it from each other nor wait for one another in a row."""

    async def main() -> None:
        bench = Bench()
        replies = [bench.send() for _ in range(5)]
        bench.origin[0].head(FRESH, GZIP)
        await bench.turn()
        late = bench.send()
        assert len(bench.origin) == 6
        for fetch in bench.origin.fetches[1:]:
            fetch.answer(FRESH, GZIP, body=b"zipped")
        bench.origin[0].body(b"zipped").end()
        assert [r.body for r in (*replies, late)] == [b"zipped"] * 6, "the app's own word"
        assert bench.store.objects == 1
        assert bench.send(**asked("gzip, br")).body == b"zipped"
        again = bench.send()
        assert len(bench.origin) == 7
        bench.origin[6].answer(FRESH, body=b"plain")
        assert again.body == b"plain"
        bench.at_rest()

    run_virtual(main())


def test_confirmed_it_is_still_only_for_who_has_offered_it() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "max-age=1"), GZIP, ETAG, body=b"zipped", **asked("gzip"))
        await bench.wait(2)
        one, other, plain = bench.send(**asked("gzip")), bench.send(**asked("br, gzip")), bench.send()
        bench.origin[1].answer(FRESH, ETAG, status=304, body=b"")
        assert [r.body for r in (one, other)] == [b"zipped"] * 2
        assert plain.status == 0
        bench.origin[-1].answer(FRESH, body=b"plain")
        assert plain.body == b"plain"
        asks = len(bench.origin)
        assert bench.send(**asked("gzip;q=0.3")).ended
        assert len(bench.origin) == asks
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("vary", ["accept-encoding", "Accept-Encoding, accept-language"])
def test_what_says_that_it_varies_is_judged_by_that_alone(vary: str) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH, GZIP, ("vary", vary), body=b"zipped", **asked("gzip"))
        assert bench.send(**asked("gzip")).body == b"zipped"
        bench.send(**asked("gzip, br"))
        assert len(bench.origin) == 2, "another variant by the app's own word"
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_other_fields_that_it_varies_with_still_count() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH, GZIP, ("vary", "accept-language"), body=b"de", **asked("gzip", accept_language="de"))
        assert bench.send(**asked("gzip, br", accept_language="de")).body == b"de"
        bench.send(**asked("gzip, br", accept_language="en"))
        assert len(bench.origin) == 2
        bench.origin[1].answer(FRESH)
        bench.at_rest()

    run_virtual(main())


def test_codings_that_are_not_declared_do_not_drive_each_other_out() -> None:
    """Each client that reads one of them has it from the store, whoever came last."""

    async def main() -> None:
        bench = Bench()
        for coding in ("br", "gzip"):
            bench.fill(FRESH, ("content-encoding", coding), body=coding.encode(), **asked(coding))
        for _ in range(2):
            assert [bench.send(**asked(each)).body for each in ("br", "gzip")] == [b"br", b"gzip"]
            assert bench.send(**asked("br, gzip")).body in {b"br", b"gzip"}
        assert len(bench.origin) == 2
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("coding", ["compress", "gzip, br"])
def test_a_coding_that_few_know_is_for_who_offers_it_in_the_same_words(coding: str) -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(FRESH, ("content-encoding", coding), **asked(coding))
        assert bench.send(**asked(coding)).body == b"old"
        for accept in OTHERS:
            for _ in range(2):
                bench.fill(FRESH, ("content-encoding", coding), **asked(accept))
        assert len(bench.origin) == 1 + 2 * len(OTHERS)
        bench.at_rest()

    run_virtual(main())


def test_a_cold_range_is_cut_from_a_coded_whole_only_for_who_offers_the_coding() -> None:
    """Who does not asks for its range itself, and may be given one of the plain body."""

    async def main() -> None:
        bench = Bench()
        one, other = (bench.send(range="bytes=0-2", **asked(each)) for each in ("gzip", "br, gzip"))
        plain = bench.send(range="bytes=3-4", **asked("identity"))
        assert len(bench.origin) == 1
        bench.origin[0].answer(FRESH, GZIP, body=b"zipped")
        assert [(r.status, r.body) for r in (one, other)] == [(206, b"zip")] * 2
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].answer(FRESH, body=b"plain")
        assert (plain.status, plain.body, plain.fields.get(b"content-encoding")) == (206, b"in", None)
        assert bench.send(range="bytes=0-0", **asked("identity")).body == b"p"
        assert len(bench.origin) == 2
        bench.at_rest()

    run_virtual(main())

"""What one client asks must not decide how all others are served."""

from __future__ import annotations

import pytest

from penstock.testing import run_virtual

from .fakes import Bench

FRESH = ("cache-control", "max-age=60")


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"if-match": '"x"'}, 412), ({"range": "bytes=900-"}, 416), ({"if_unmodified_since": "x"}, 412)],
    ids=["if-match", "range", "if-unmodified-since"],
)
def test_conditions_and_ranges_do_not_switch_off_sharing(asked: dict[str, str], status: int) -> None:
    async def main() -> None:
        bench = Bench()
        bench.send(**asked)
        bench.origin[0].answer(status=status)
        one, two = bench.send(), bench.send()
        assert len(bench.origin) == 2, "the second waits for the first"
        bench.origin[1].answer(FRESH, body=b"all")
        assert one.body == two.body == b"all"

    run_virtual(main())


def test_a_cookie_of_the_first_does_not_send_the_others_one_by_one() -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.send(cookie="sid=1")
        others = [bench.send() for _ in range(5)]
        bench.origin[0].answer(FRESH, body=b"yours")
        assert first.body == b"yours"
        assert len(bench.origin) == 2, "those without a cookie wait for one answer"
        bench.origin[1].answer(FRESH, body=b"all")
        assert [each.body for each in others] == [b"all"] * 5

    run_virtual(main())


def test_a_cookie_users_answer_does_not_throw_out_what_is_stored() -> None:
    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "max-age=1, stale-if-error=60"), ("etag", '"a"'))
        await bench.wait(2)
        bench.send(cookie="sid=1")
        bench.origin[-1].answer(FRESH, body=b"yours")
        later = bench.send()
        bench.origin[-1].fail()
        assert later.body == b"old"

    run_virtual(main())


def test_a_part_that_nobody_asked_for_is_not_stored() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send()
        bench.origin[0].answer(FRESH, ("content-range", "bytes 0-0/2"), body=b"a", status=206)
        bench.send()
        assert len(bench.origin) == 2

    run_virtual(main())


def test_a_purge_of_a_url_forgets_every_refusal_of_it() -> None:
    async def main() -> None:
        bench = Bench()
        for asked in ({}, {"cookie": "a"}, {"authorization": "a"}, {"authorization": "a", "cookie": "a"}):
            bench.send(**asked)
            bench.origin[-1].answer(("cache-control", "no-store"))
        assert len(bench.engine.refusals) == 4
        bench.engine.forget_url(b"http://shop.example/")
        assert not len(bench.engine.refusals)

    run_virtual(main())


def test_a_304_that_forgets_what_its_body_depends_on_does_not_show_it_to_others() -> None:
    async def main() -> None:
        bench = Bench()
        stored = [("cache-control", "max-age=1"), ("etag", '"a"'), ("vary", "Cookie")]
        bench.fill(*stored, body=b"ann's", cookie="ann")
        await bench.wait(2)
        bench.send(cookie="ann")
        bench.origin[-1].answer(FRESH, ("etag", '"a"'), ("vary", "Accept"), status=304, body=b"")
        assert bench.send(cookie="ann").body == b"ann's"
        other = bench.send(cookie="bob")
        bench.origin[-1].answer(FRESH, ("vary", "Cookie"), body=b"bob's")
        assert other.body == b"bob's"

    run_virtual(main())


def test_an_error_does_not_switch_off_sharing() -> None:
    async def main() -> None:
        bench = Bench()
        bench.send()
        bench.origin[0].answer(status=500)
        one, two = bench.send(), bench.send()
        assert len(bench.origin) == 2, "the second waits for the first"
        bench.origin[1].answer(FRESH, body=b"well again")
        assert one.body == two.body == b"well again"

    run_virtual(main())

"""Cache-Status says why an answer was not stored or not shared, in the same words through the engine and past it."""

from __future__ import annotations

from typing import Any

import pytest

import penstock
from penstock.inbound.asgi.shared_cache import SharedCache
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.decisions import REASONS
from penstock.testing import run_virtual

from .asgi.clients import Client, Site
from .cache.fakes import Bench, raw_fields

POLICY = Policy(
    (
        PathPolicy("/bypassed", bypass=True),
        PathPolicy("/cookies", bypass_cookies=("sessionid",)),
        PathPolicy("/given", ttl=60.0),
    )
)
FRESH = ("cache-control", "max-age=60")
LARGE = b"x" * 2000
# name: target, method, fields of the request, status and fields of the answer, its body, what the first two are told
CASES: dict[str, tuple[str, str, dict[str, str], int, list[tuple[str, str]], bytes, list[str]]] = {
    "stored": ("/", "GET", {}, 200, [FRESH], b"x", ["uri-miss; stored"]),
    "nothing said": ("/", "GET", {}, 200, [], b"x", ["uri-miss; detail=no-freshness", "miss; detail=no-freshness"]),
    "private": ("/", "GET", {}, 200, [("cache-control", "private")], b"x", ["uri-miss; detail=private"]),
    "no-store": ("/", "GET", {}, 404, [("cache-control", "no-store")], b"x", ["uri-miss; detail=no-store"]),
    "cookie": ("/", "GET", {}, 200, [FRESH, ("set-cookie", "a=b")], b"x", ["uri-miss; detail=set-cookie"]),
    "logged in": (
        *("/", "GET", {"cookie": "a=b"}, 200, [FRESH], b"x"),
        ["uri-miss; detail=request-cookie", "miss; detail=request-cookie"],
    ),
    "credentials": ("/", "GET", {"authorization": "x"}, 200, [FRESH], b"x", ["uri-miss; detail=authorization"]),
    "vary star": ("/", "GET", {}, 200, [FRESH, ("vary", "*")], b"x", ["uri-miss; detail=vary-star"]),
    "too large": (
        *("/", "GET", {}, 200, [FRESH, ("content-length", "2000")], LARGE),
        ["uri-miss; detail=too-large", "miss; detail=too-large"],
    ),
    "an error": ("/", "GET", {}, 500, [], b"x", ["uri-miss; detail=no-freshness"] * 2),
    "validated each time": (
        *("/", "GET", {}, 200, [("cache-control", "no-cache"), ("etag", '"1"')], b"x"),
        ["uri-miss; stored; detail=must-validate"],
    ),
    "head": ("/", "HEAD", {}, 200, [FRESH], b"", ["uri-miss; detail=head"] * 2),
    "post": ("/", "POST", {}, 200, [FRESH], b"x", ["method; detail=method-not-shared"] * 2),
    "bypass": ("/bypassed", "GET", {}, 200, [FRESH], b"x", ["bypass; detail=policy-bypass"] * 2),
    "a cookie that goes to the app": (
        *("/cookies", "GET", {"cookie": "sessionid=1"}, 200, [FRESH], b"x"),
        ["bypass; detail=bypass-cookie"] * 2,
    ),
    "a lifetime for strangers": (
        *("/given", "GET", {"cookie": "a=1"}, 200, [], b"x"),
        ["uri-miss; detail=policy-personal", "miss; detail=policy-personal"],
    ),
    "condition": (
        *("/", "GET", {"if-match": '"1"'}, 412, [FRESH], b"x"),
        ["request; detail=precondition"] * 2,
    ),
    "wrong part": (
        "/",
        "GET",
        {},
        206,
        [FRESH, ("content-range", "bytes 0-0/9")],
        b"x",
        ["uri-miss; detail=unasked-part"],
    ),
}


@pytest.mark.parametrize(("target", "method", "asked", "status", "fields", "body", "told"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("face", ["engine", "middleware"])
def test_why_an_answer_was_not_for_all(
    face: str,
    target: str,
    method: str,
    asked: dict[str, str],
    status: int,
    fields: list[tuple[str, str]],
    body: bytes,
    told: list[str],
) -> None:
    """`fwd=miss` alone once was all that could be seen, though the reason was known."""

    async def through_the_engine() -> list[str]:
        bench = Bench(POLICY, max_object=1500)
        words = []
        for number in range(len(told)):
            reply = bench.send(target, method, **asked)
            fetch = bench.origin[number].head(*fields, status=status, length=len(body))
            await bench.turn()
            fetch.body(body).end() if body else fetch.end()
            words.append(reply.cache_status.decode())
        return words

    async def through_the_middleware() -> list[str]:
        site = Site(body, status=status, fields=raw_fields(fields))
        app = penstock.CacheMiddleware(site, cache=SharedCache(policy=POLICY, max_object=1500))
        made = [await Client(app, target, method=method, fields=raw_fields(asked)).go() for _ in told]
        return [client.cache_status for client in made]

    found: Any = run_virtual(through_the_engine() if face == "engine" else through_the_middleware())
    assert found == [f"penstock; fwd={each}" for each in told]
    assert all(each.partition("detail=")[2] in {*REASONS, ""} for each in told)


def test_those_who_waited_are_told_too() -> None:
    """Each was sent for by itself, because the answer was for the first one alone."""

    async def main() -> None:
        bench = Bench()
        replies = [bench.send() for _ in range(3)]
        bench.origin[0].answer(("cache-control", "private"))
        for fetch in bench.origin.fetches[1:]:
            fetch.answer(("cache-control", "private"))
        assert [each.cache_status for each in replies] == [
            b"penstock; fwd=uri-miss; detail=private",
            b"penstock; fwd=miss; detail=private",
            b"penstock; fwd=miss; detail=private",
        ]

    run_virtual(main())


def test_what_turns_out_at_the_end_is_told_where_nothing_was_sent_before() -> None:
    """It said `stored` of what was outdone, did not fit its own range, or was refused by the store."""

    async def main() -> None:
        bench = Bench(max_object=1500)
        outdone = bench.send()
        bench.origin[0].head(FRESH, length=4).body(b"body")
        bench.engine.forget_url(b"http://shop.example/")
        newer = bench.send()
        bench.origin[1].answer(FRESH)
        bench.origin[0].end()
        assert outdone.cache_status == b"penstock; fwd=uri-miss; detail=not-taken"
        assert newer.cache_status == b"penstock; fwd=uri-miss; stored"
        large = bench.send("/large")
        bench.origin[2].answer(FRESH, ("x-large", "x" * 1400), body=b"x" * 1000)
        assert large.cache_status == b"penstock; fwd=uri-miss; detail=not-taken"
        part = bench.send("/part", range="bytes=-10")
        bench.origin[3].answer(FRESH, ("content-range", "bytes 10-19/20"), status=206, body=b"short")
        assert part.cache_status == b"penstock; fwd=uri-miss; detail=partial-mismatch"

    run_virtual(main())


def test_what_confirms_is_told_of_as_well() -> None:
    """A 304 that says private, and one of what must be confirmed each time."""

    async def main() -> None:
        bench = Bench()
        bench.fill(("cache-control", "no-cache"), ("etag", '"1"'))
        again = bench.send()
        bench.origin[1].answer(("cache-control", "no-cache"), ("etag", '"1"'), status=304, body=b"")
        assert again.cache_status == b"penstock; fwd=stale; stored; detail=must-validate"
        gone = bench.send()
        bench.origin[2].answer(("cache-control", "private"), ("etag", '"1"'), status=304, body=b"")
        assert gone.cache_status == b"penstock; fwd=miss; detail=private"

    run_virtual(main())

"""What `explain` says is what the cache then does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConnectionLost, UsageError
from penstock.inbound.cache.explain import explain_url, variant_values
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.cache.purging import purge
from penstock.inbound.proxy.explain_origin import is_from_penstock
from penstock.rules.caching.cache_key import variant_of
from penstock.rules.caching.decisions import Decision
from penstock.rules.caching.options import CacheOptions
from penstock.testing import run_virtual

from .admin_tools import URL, Shop

POLICY = Policy(
    (
        PathPolicy("/bypassed/*", bypass=True),
        PathPolicy("/dropped/*", drop_query=("utm_*",)),
        PathPolicy("/given/*", ttl=50.0, tags=("by-policy",)),
    )
)
CASES: list[tuple[str, str, list[tuple[str, str]], float, str, str]] = [
    # name, path, fields of the answer, seconds after it, what a request would be, clause
    ("fresh", "/products/7", [("cache-control", "max-age=60")], 10, "hit", "max-age"),
    ("shared lifetime", "/x", [("cache-control", "s-maxage=60, max-age=1")], 10, "hit", "s-maxage"),
    ("expires", "/x", [("expires", "Thu, 01 Jan 2026 01:00:00 GMT")], 10, "hit", "Expires"),
    ("targeted", "/x", [("cdn-cache-control", "max-age=60"), ("cache-control", "no-store")], 10, "hit", "max-age"),
    ("old when it came", "/x", [("cache-control", "max-age=60"), ("age", "59")], 10, "validate", "4.3"),
    ("estimated", "/x", [("last-modified", "Wed, 31 Dec 2025 00:00:00 GMT")], 10, "hit", "heuristic"),
    ("stale", "/x", [("cache-control", "max-age=5"), ("etag", '"1"')], 10, "validate", "4.3"),
    ("at the edge", "/x", [("cache-control", "max-age=10")], 10, "validate", "4.3"),
    ("swr", "/x", [("cache-control", "max-age=5, stale-while-revalidate=60")], 10, "stale", "5861"),
    ("swr is over", "/x", [("cache-control", "max-age=5, stale-while-revalidate=5")], 10, "validate", "4.3"),
    ("no-cache", "/x", [("cache-control", "no-cache"), ("etag", '"1"')], 0, "validate", "5.2.2.4"),
    ("no-store", "/x", [("cache-control", "no-store")], 10, "miss", "5.2.2.5"),
    ("private", "/x", [("cache-control", "private")], 119, "miss", "5.2.2.7"),
    ("private, forgotten", "/x", [("cache-control", "private")], 121, "miss", "RFC 9111, 4"),
    ("cookie", "/x", [("cache-control", "max-age=60"), ("set-cookie", "a=b")], 1, "miss", "7.3"),
    ("vary star", "/x", [("cache-control", "max-age=60"), ("vary", "*")], 1, "miss", "4.1"),
    ("nothing said", "/x", [], 1, "miss", "RFC 9111, 3"),
    (
        "too many tags",
        "/x",
        [("cache-control", "max-age=9"), ("cache-tag", ",".join(map(str, range(200))))],
        1,
        "miss",
        "",
    ),
    ("bypass", "/bypassed/x", [("cache-control", "max-age=60")], 1, "bypass", "policy"),
    ("by policy", "/given/x", [], 10, "hit", "policy file (ttl)"),
]
SEEN = {
    "hit": (b"hit",),
    "stale": (b"hit", b"stale-while"),
    "validate": (b"fwd=",),
    "miss": (b"fwd=",),
    "bypass": (b"bypass",),
}


@pytest.mark.parametrize(("name", "path", "fields", "after", "would", "clause"), CASES, ids=[each[0] for each in CASES])
def test_it_foretells_what_happens(
    name: str, path: str, fields: list[tuple[str, str]], after: float, would: str, clause: str
) -> None:
    """The next request gets what was said, twice the same is said, and asking sends nothing."""
    del name

    async def main() -> None:
        shop = Shop(POLICY)
        shop.answer(path, *fields)
        url = f"http://shop.example{path}"
        await shop.get(url)
        await shop.engine.clock.sleep(after)
        found = explain_url(shop.engine, url)
        assert found["would"] == would
        assert clause in found["clause"]
        assert found["why"].endswith(".")
        assert explain_url(shop.engine, url) == found
        assert len(shop.app.asked) == 1
        status = (await shop.get(url)).cache_status
        assert all(part in status for part in SEEN[would]), status
        assert (b"hit" in status) is (would in {"hit", "stale"})

    run_virtual(main())


def test_all_that_is_stored_is_told() -> None:
    """Key, variants, age, lifetime, tags, hits and size."""

    async def main() -> None:
        shop = Shop()
        shop.answer(
            "/x", ("cache-control", "max-age=60"), ("vary", "Accept-Language, Cookie"), ("surrogate-key", "a b")
        )
        url = "http://shop.example/x?q=1"
        await shop.get(url, accept_language="de, en")
        await shop.get(url, accept_language="fr", cookie="session=secret")
        await shop.engine.clock.sleep(20)
        await shop.get(url, accept_language="de,en")
        found = explain_url(shop.engine, url, [(b"accept-language", b"de,en")])
        assert found["key"] == url
        assert (found["would"], found["stored"], found["under_way"]) == ("hit", True, 0)
        by_selected = {variant["selected"]: variant for variant in found["variants"]}
        mine, other = by_selected[True], by_selected[False]
        assert mine["vary"] == {"accept-language": "de,en", "cookie": None}
        assert other["vary"] == {"accept-language": "fr", "cookie": "(hidden)"}
        assert (mine["age_s"], mine["lifetime_s"], mine["remaining_s"]) == (20.0, 60.0, 40.0)
        assert (mine["tags"], mine["hits"], other["hits"]) == (["a", "b"], 1, 0)
        assert (mine["status"], mine["body_bytes"]) == (200, 100)
        assert mine["charged_bytes"] > 100
        assert explain_url(shop.engine, url)["clause"] == "RFC 9111, 4.1"
        assert "secret" not in str(found)

    run_virtual(main())


@pytest.mark.parametrize("value", ["max-age=60", "max-age=60, must-revalidate", "max-age=60, proxy-revalidate"])
def test_what_was_refused_is_told(value: str) -> None:
    """Also where it concerns only requests with a cookie."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/products/7", ("cache-control", value))
        await shop.get(cookie="a=b")
        (refused,) = explain_url(shop.engine, URL)["refused"]
        assert refused["reason"] == "request-cookie"
        assert refused["to_requests_with"] == "cookie"
        assert refused["forgotten_in_s"] == 120.0
        assert refused["sentence"].endswith(".")
        assert explain_url(shop.engine, URL)["why"] == "Nothing is stored for it."
        assert "could not be shared" in explain_url(shop.engine, URL, [(b"cookie", b"a=b")])["why"]

    run_virtual(main())


def test_who_asks_for_https_behind_another_proxy() -> None:
    """TLS ends in front of the cache, which sees http; people know the URL with https."""

    async def main() -> None:
        shop = Shop()
        await shop.get(URL)
        found = explain_url(shop.engine, URL.replace("http:", "https:"))
        assert (found["key"], found["would"]) == (URL, "hit")

    run_virtual(main())


def test_a_dropped_query_is_not_in_the_key() -> None:
    """The key is the one of the request as the policy makes it."""

    async def main() -> None:
        shop = Shop(POLICY)
        shop.answer("/dropped/x", ("cache-control", "max-age=60"))
        await shop.get("http://shop.example/dropped/x?a=1&utm_source=z")
        found = explain_url(shop.engine, "http://shop.example/dropped/x?a=1&utm_medium=y")
        assert (found["would"], found["key"]) == ("hit", "http://shop.example/dropped/x?a=1")
        assert found["policy"] == 'match = "/dropped/*"'

    run_virtual(main())


def test_a_soft_purge_a_dead_app_and_who_is_under_way() -> None:
    """What passes with time or with others."""

    async def main() -> None:
        shop = Shop()
        clock = shop.engine.clock
        shop.app.delay = 1.0
        reply = shop.send()
        await clock.sleep(0.5)
        found = explain_url(shop.engine, URL)
        assert (found["would"], found["under_way"]) == ("collapsed", 1)
        await reply.done
        purge(shop.engine, urls=[URL], soft=True)
        found = explain_url(shop.engine, URL)
        assert (found["would"], found["variants"][0]["state"]) == ("stale", "purged softly")
        purge(shop.engine, everything=True)
        assert explain_url(shop.engine, URL)["would"] == "miss"
        await shop.get()
        await clock.sleep(100)
        shop.app.error = ConnectionLost("gone")
        for _ in range(3):
            assert (await shop.get()).status == 200
        found = explain_url(shop.engine, URL)
        assert found["would"] == "stale"
        assert "does not answer" in found["why"]

    run_virtual(main())


def test_only_the_app_can_judge_some_requests() -> None:
    """If-Match is for the app."""

    async def main() -> None:
        shop = Shop()
        await shop.get()
        found = explain_url(shop.engine, URL, [(b"if-match", b'"1"')])
        assert (found["would"], found["clause"]) == ("miss", "RFC 9110, 13.1")
        assert found["stored"]

    run_virtual(main())


def test_the_host_is_a_field_of_the_request() -> None:
    """Some apps vary on it."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/x", ("cache-control", "max-age=60"), ("vary", "Host"))
        await shop.get("http://shop.example/x")
        found = explain_url(shop.engine, "http://Shop.example:80/x", [(b"host", b"other.example")])
        assert (found["would"], found["variants"][0]["vary"]) == ("hit", {"host": "shop.example"})

    run_virtual(main())


def test_profiles_and_what_cannot_be_a_url() -> None:
    """The options of the cache hold; a URL must be absolute."""

    async def main() -> None:
        shop = Shop(options=CacheOptions(profile="rfc"))
        shop.answer("/x", ("cache-control", "max-age=60"), ("set-cookie", "a=b"))
        await shop.get("http://shop.example/x")
        assert explain_url(shop.engine, "http://shop.example/x")["would"] == "hit"
        for bad in (
            "",
            "/x",
            "x",
            "http://",
            "http://a b/",
            "http://a/\u00e9",
            "http://u:p@a/",
            "gopher://a/",
            "http://a:0/",
        ):
            with pytest.raises(UsageError):
                explain_url(shop.engine, bad)

    run_virtual(main())


NAMES = st.sampled_from([b"accept-language", b"accept", b"x-a", b"x-ab", b"user-agent", b"cookie"])
VALUES = st.text('ab,;=: 1"', max_size=12).map(str.encode)


@given(st.sets(NAMES, min_size=1), st.dictionaries(NAMES, VALUES))
def test_a_variant_can_be_read_back(names: set[bytes], fields: dict[bytes, bytes]) -> None:
    """Whatever the values hold, each name gets its own, and what is secret stays so."""
    vary = tuple(sorted(names))
    values: Any = variant_values(vary, variant_of(vary, fields))
    assert [*values] == [name.decode() for name in vary]
    for name in vary:
        value = values[name.decode()]
        assert (value is None) == (name not in fields)
        if name == b"cookie" and value is not None:
            assert value == "(hidden)"
        if name == b"user-agent" and value is not None:
            assert value == fields[name].decode()


def test_who_goes_alone_is_told_so() -> None:
    """The engine sent each client by itself while this said that one answer would do for all."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/x", ("cache-control", "max-age=5"), ("etag", '"1"'))
        url = "http://shop.example/x"
        await shop.get(url)
        await shop.engine.clock.sleep(6)
        private = Decision(False, "private", "RFC 9111, 5.2.2.7")
        shop.engine.refusals.note(url.encode(), {}, shop.engine.clock.now(), private, 200)
        found = explain_url(shop.engine, url)
        assert (found["would"], found["clause"]) == ("validate", private.clause)
        assert "for each client by itself" in found["why"]
        assert b"fwd=miss" in (await shop.get(url)).cache_status

    run_virtual(main())


@pytest.mark.parametrize(
    ("values", "ours"),
    [
        ([b"penstock; hit; ttl=4"], True),
        ([b"penstock"], True),
        ([b"penstock; fwd=uri-miss; stored, cdn.example; fwd=miss"], True),
        ([b"cdn.example; hit,penstock;hit"], True),
        ([b"cdn.example; hit", b"penstock; hit"], True),
        ([], False),
        ([b"cdn.example; hit"], False),
        ([b"penstocks; hit"], False),
        ([b"a-penstock; hit"], False),
    ],
)
def test_an_answer_that_has_come_through_a_cache_of_ours(values: list[bytes], ours: bool) -> None:
    """Each cache on the way names itself, the one nearest to the app first."""
    assert is_from_penstock([(b"cache-status", value) for value in values]) is ours
    assert not is_from_penstock([(b"x-cache", value) for value in values])

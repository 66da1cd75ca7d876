"""What a policy does to real apps, in the proxy's engine and in the middleware alike: it must not be able to hurt.

Before that, one 401 to a stranger was what everybody got for an hour, whatever token they had, and the example in the
docs broke every form.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.cache.policy_file import read_policy
from penstock.inbound.cache.policy_warnings import warnings_of
from penstock.inbound.cache.protocols import InboundRequest
from penstock.rules.caching.http_fields import combine
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.storing import ERRORS_OF_ONE
from penstock.testing import run_virtual

from .asgi.clients import Client as AsgiClient
from .cache.fakes import Bench, RecordingReply
from .test_one_key import FACES

Answer = tuple[int, list[tuple[str, str]], str]
App = Callable[[str, dict[str, str]], Answer]
"""From the target and the fields (names in lower case): status, fields, body."""
BY_DEFAULT = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
"""Statuses that may be cached by default (RFC 9110, 15.1); a 206 only for who asked for a part."""
ALL = range(200, 600)


class Engine:
    """The engine as the proxy has it."""

    def __init__(self, app: App, policy: Policy, profile: Any = "safe") -> None:
        self.app = app
        self.bench = Bench(policy, CacheOptions(profile=profile))

    async def get(self, target: str = "/", method: str = "GET", **fields: str) -> tuple[str, str, dict[bytes, bytes]]:
        """Body, Cache-Status and fields of the answer."""
        before = len(self.bench.origin)
        reply = self.bench.send(target, method, **fields)
        for fetch in self.bench.origin.fetches[before:]:
            seen = {name.decode(): value.decode() for name, value in fetch.fields.items()}
            status, lines, body = self.app(fetch.request.target.decode(), seen)
            fetch.answer(*lines, status=status, body=b"" if status in (204, 304) else body.encode())
        await self.bench.turn()
        return reply.body.decode(), reply.cache_status.decode(), reply.fields

    async def close(self) -> None:
        self.bench.at_rest()


class Middleware:
    """The same for the middleware."""

    def __init__(self, app: App, policy: Policy, profile: Any = "safe") -> None:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            seen = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            status, lines, body = app(scope["path"] + (f"?{query}" if query else ""), seen)
            headers = [(name.encode(), value.encode()) for name, value in lines]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if status in (204, 304) else body.encode()})

        self.site = penstock.CacheMiddleware(asgi, policy=policy, profile=profile)

    async def get(self, target: str = "/", method: str = "GET", **fields: str) -> tuple[str, str, dict[bytes, bytes]]:
        """Body, Cache-Status and fields of the answer."""
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        answer = await AsgiClient(self.site, target, method=method, fields=lines).go()
        return answer.body.decode(), answer.cache_status, dict(answer.messages[0]["headers"])

    async def close(self) -> None:
        await self.site.cache.aclose()


KINDS = pytest.mark.parametrize("kind", [Engine, Middleware], ids=["proxy", "middleware"])


def is_stored(kind: Any, status: int, **settings: Any) -> bool:
    """Whether the second who asks gets what the first one got."""
    found = []

    async def main() -> None:
        fields = [("content-range", "bytes 7-8/9")] if status == 206 else []
        face = kind(lambda _target, _seen: (status, fields, "ok"), Policy((PathPolicy("/*", **settings),)))
        asked = {"range": "bytes=-2"} if status == 206 else {}
        for _ in range(2):
            found.append("hit" in (await face.get(**asked))[1])
        await face.close()

    run_virtual(main())
    return found[1]


@KINDS
def test_a_ttl_is_for_the_statuses_that_may_be_cached_by_default(kind: Any) -> None:
    """Of all from 200 to 599 exactly these; 500, 503, 429, 401 and 403 were stored for the whole ttl."""
    assert {status for status in ALL if is_stored(kind, status, ttl=3600.0)} == BY_DEFAULT
    assert {status for status in ALL if is_stored(kind, status, ttl=3600.0, public=True)} == BY_DEFAULT


@KINDS
def test_a_status_with_a_ttl_of_its_own_is_stored_by_it(kind: Any) -> None:
    """And no other one; whatever may be written is then done."""
    allowed = {status for status in ALL if status not in ERRORS_OF_ONE | {304}}
    for status in sorted(allowed):
        assert is_stored(kind, status, ttl_by_status={status: 5.0}, public=True), status
    for status in sorted(set(ALL) - allowed | {401, 403, 407}):
        with pytest.raises(penstock.UsageError):
            PathPolicy("/*", ttl_by_status={status: 5.0})
    assert {status for status in ALL if is_stored(kind, status, ttl_by_status={302: 5.0})} == {302}
    assert {status for status in ALL if is_stored(kind, status, ttl=9.0, ttl_by_status={404: 0.0})} == BY_DEFAULT - {
        404
    }


def test_a_failure_by_its_own_ttl_is_over_after_seconds() -> None:
    """Neither stale-while-revalidate nor an app that is down keeps it alive."""

    async def main() -> None:
        bench = Bench(
            Policy((PathPolicy("/*", ttl_by_status={503: 5.0}, stale_while_revalidate=600.0, stale_if_error=600.0),))
        )
        bench.fill(status=503)
        await bench.wait(4)
        assert bench.send().status == 503
        await bench.wait(2)
        reply = bench.send()
        assert not reply.over
        bench.origin[1].fail()
        assert reply.status == 502
        bench.at_rest()

    run_virtual(main())


def whose(seen: dict[str, str]) -> str:
    return seen.get("authorization", "") + seen.get("cookie", "") or "nobody"


USERS = [{"cookie": "sessionid=alice"}, {"authorization": "Bearer alice"}, {"authorization": "x", "cookie": "a=b"}]


@KINDS
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("vary", [[], [("vary", "Cookie")], [("vary", "Cookie, Authorization")]])
def test_a_policy_ttl_is_not_for_those_who_say_who_they_are(kind: Any, user: Any, vary: Any) -> None:
    """Neither stored for them nor given to them; a variant of their own neither."""

    async def main() -> None:
        face = kind(lambda _target, seen: (200, vary, whose(seen)), Policy((PathPolicy("/*", ttl=60.0),)))
        for _ in range(3):
            body, status, _ = await face.get(**user)
            assert body == whose(user)
            assert "stored" not in status
        for _ in range(4):
            assert (await face.get())[0] == "nobody"
        assert "hit" in (await face.get())[1]
        for _ in range(4):
            body, status, _ = await face.get(**user)
            assert body == whose(user), "what is known by its bytes alone is not for them either"
            assert "hit" not in status
        assert "hit" in (await face.get())[1]
        await face.close()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize("user", USERS)
def test_what_is_public_by_the_policy_is_for_all(kind: Any, user: Any) -> None:
    async def main() -> None:
        face = kind(lambda _target, seen: (200, [], whose(seen)), Policy((PathPolicy("/*", ttl=60.0, public=True),)))
        first = (await face.get(**user))[0]
        assert [(await face.get())[0], (await face.get(cookie="x=y"))[0]] == [first, first]
        await face.close()

    run_virtual(main())


@KINDS
def test_what_the_app_says_itself_is_judged_as_ever(kind: Any) -> None:
    """A policy for a path does not take away what the app calls public there."""

    async def main() -> None:
        face = kind(
            lambda _target, seen: (200, [("cache-control", "public, max-age=60")], whose(seen)),
            Policy((PathPolicy("/*", ttl=60.0),)),
        )
        assert (await face.get(cookie="a=b"))[0] == "a=b"
        for asked in ({}, {"cookie": "c=d"}, {"authorization": "e"}):
            assert (await face.get(**asked))[0] == "a=b"
        await face.close()

    run_virtual(main())


@KINDS
def test_a_cookie_that_goes_to_the_app_does_so_whatever_is_stored(kind: Any) -> None:
    """What is known by its bytes, too: a plain form says nothing of cookies."""

    async def main() -> None:
        policy = Policy((PathPolicy("/*", bypass_cookies=("session*",), ignore_cookies=("_ga",)),))
        face = kind(lambda _target, seen: (200, [("cache-control", "public, max-age=60")], whose(seen)), policy)
        for _ in range(4):
            assert (await face.get(cookie="_ga=1"))[0] == "nobody"
        for cookie in ("sessionid=alice", "_ga=2; sessionid=bob", "a=b,sessionid=carol", "sessionid"):
            for _ in range(3):
                body, status, _ = await face.get(cookie=cookie)
                assert body == cookie, "as it came, with all cookies"
                assert "fwd=bypass" in status
                assert "stored" not in status
        for cookie in ("other=1", "xsession=1"):
            assert (await face.get(cookie=cookie))[0] == "nobody"
        assert (await face.get(method="POST", cookie="sessionid=alice"))[0] == "sessionid=alice"
        await face.close()

    run_virtual(main())


@KINDS
def test_cookies_are_stripped_only_where_the_answer_is_then_stored(kind: Any) -> None:
    """A cart began with a cookie on a redirect, and a form with one in what was not stored: both were lost."""
    stays = {"/redirect", "/kept", "/private", "/post", "/head", "/said"}
    answers: dict[str, tuple[int, list[tuple[str, str]]]] = {
        "/page": (200, []),
        "/gone": (404, []),
        "/redirect": (301, []),
        "/kept": (200, [("set-cookie", "sessionid=1")]),
        "/private": (200, [("cache-control", "private")]),
        "/said": (500, []),
        "/post": (200, []),
        "/head": (200, []),
    }

    def app(target: str, _seen: dict[str, str]) -> Answer:
        status, lines = answers[target]
        return status, [("set-cookie", "_ga=1; Path=/"), *lines], "ok"

    async def main() -> None:
        face = kind(app, Policy((PathPolicy("/*", ttl=60.0, strip_set_cookie=("_g*",)),)))
        for target in answers:
            method = target[1:].upper() if target in ("/post", "/head") else "GET"
            _, status, fields = await face.get(target, method)
            assert (b"set-cookie" in fields) is (target in stays), target
            assert ("stored" in status) is (target not in stays), target
            # Again: what is known not to be stored goes by in another way.
            _, status, fields = await face.get(target, method)
            assert (b"set-cookie" in fields) is (target in stays), target
        await face.close()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize("heuristic", [None, False, 0.0, 60.0])
def test_a_lifetime_is_estimated_as_far_as_the_policy_lets_it(kind: Any, heuristic: Any) -> None:
    async def main() -> None:
        policy = Policy((PathPolicy("/*", heuristic=heuristic),))
        lines = [("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT")]
        face = kind(lambda _target, _seen: (200, lines, "ok"), policy)
        await face.get()
        status = (await face.get())[1]
        assert ("hit" in status) is (heuristic is None or heuristic > 0)
        if heuristic:
            assert "ttl=60" in status
        elif heuristic is None:
            assert "ttl=86400" in status
        await face.close()

    run_virtual(main())


@KINDS
def test_the_order_of_a_query_makes_no_other_page(kind: Any) -> None:
    async def main() -> None:
        policy = Policy((PathPolicy("/*", ttl=60.0, sort_query=True, drop_query=("utm_*",)),))
        face = kind(lambda target, _seen: (200, [], target), policy)
        assert (await face.get("/?b=1&utm_x=3&a=2"))[0] == "/?a=2&b=1"
        body, status, _ = await face.get("/?a=2&b=1")
        assert (body, "hit" in status) == ("/?a=2&b=1", True)
        assert (await face.get("/?a=3&a=2"))[0] == "/?a=3&a=2", "those of one name are a list, or the last one wins"
        assert (await face.get("/?a=2&a=3"))[0] == "/?a=2&a=3"
        await face.close()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize(
    "target",
    [
        *("/page?preview=1", "/page?preview", "/page?a=1&preview=x", "/page?%70review=1", "/page?PREVIEW=1"),
        *(
            "/page?%2570review=1",
            "/page?a=1;preview=1",
            "/page%3Fpreview=1",
            "/page?a=1%26preview=1",
            "/%70age?preview=1",
        ),
        *("/page?+preview=1", "/page?preview%00=1", "/page?preview%3D1", "/page?%20preview=", "//page?preview=1"),
        *("/page?preview=1#x", "/page?a?preview=1"),
    ],
)
def test_a_query_that_is_bypassed_is_so_in_every_spelling(kind: Any, target: str) -> None:
    """A victim is lured to a spelling that the globs do not match and the app does; all others see the page."""

    async def main() -> None:
        paths = (PathPolicy("/*", ttl=60.0), PathPolicy("/page", query=("preview=*",), bypass=True))
        face = kind(lambda _target, _seen: (200, [], "ok"), Policy(paths))
        for _ in range(2):
            assert "fwd=bypass" in (await face.get(target))[1]
        await face.get("/page?other=1")
        assert "hit" in (await face.get("/page?other=1"))[1]
        await face.close()

    run_virtual(main())


EXAMPLE = Path(__file__).parents[2] / "docs" / "howto" / "proxy.md"


@KINDS
def test_the_example_of_the_docs_hurts_nobody(kind: Any, tmp_path: Path) -> None:
    """Its forerunner gave two clients one csrf token, lost carts and kept errors: it is what people copy first."""
    file = tmp_path / "cache.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)[0])
    policy = read_policy(file)
    assert warnings_of(policy) == []
    made = 0

    def app(target: str, seen: dict[str, str]) -> Answer:
        """As frameworks do it: a form with a token that is a cookie as well, a cart that begins with a redirect."""
        nonlocal made
        made += 1
        cookies = seen.get("cookie", "")
        if target == "/shop/form":
            token = cookies.partition("csrftoken=")[2].partition(";")[0] or f"t{made}"
            return 200, [("vary", "Cookie"), ("set-cookie", f"csrftoken={token}")], token
        if target == "/shop/add":
            return 302, [("location", "/shop/cart"), ("set-cookie", f"sessionid=s{made}")], ""
        if target == "/shop/broken":
            return 500, [], f"broken {made}"
        return 200, [("set-cookie", "_ga_x=1")] if "_ga" not in cookies else [], cookies or f"page {made}"

    async def main() -> None:
        face = kind(app, policy)
        tokens = [(await face.get("/shop/form", cookie=f"_ga={n}"))[0] for n in range(3)]
        assert len(set(tokens)) == 3
        for token in tokens:
            assert (await face.get("/shop/form", cookie=f"csrftoken={token}"))[0] == token
        carts = [(await face.get("/shop/add"))[2][b"set-cookie"] for _ in range(3)]
        assert len(set(carts)) == 3
        for cart in carts:
            cookie = f"_ga=1; {cart.decode()}"
            assert (await face.get("/shop/cart", cookie=cookie))[0] == cookie
        assert (await face.get("/shop/broken"))[0] != (await face.get("/shop/broken"))[0]
        assert len({(await face.get("/admin/x"))[0] for _ in range(3)}) == 3
        pages = {(await face.get(f"/shop/?utm_source={n}", cookie=f"_ga={n}; _gid=x"))[0] for n in range(9)}
        assert len(pages) == 1, "and it is worth its while"
        await face.close()

    run_virtual(main())


def test_a_purge_by_url_finds_what_the_policy_made_of_it() -> None:
    """In the middleware it did not, where a parameter was dropped."""

    async def main() -> None:
        policy = Policy(default=PathPolicy(ttl=60.0, sort_query=True, drop_query=("utm_*",)))
        face = Middleware(lambda target, _seen: (200, [], target), policy)
        await face.get("/?b=1&a=2&utm_x=1")
        assert face.site.purge_url("http://example.com/?b=1&a=2&utm_x=2") == 1
        assert "stored" in (await face.get("/?b=1&a=2"))[1]
        await face.close()

    run_virtual(main())


NAMES = st.lists(st.sampled_from(["*", "sessionid", "session*", "_ga", "s*d", "?essionid", "csrftoken"]), max_size=2)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "ttl": st.sampled_from([0.0, 5.0, 60.0]),
        "ttl_by_status": st.sampled_from([{404: 5.0}, {302: 5.0, 500: 5.0}, {200: 60.0}]),
        "stale_while_revalidate": st.just(60.0),
        "stale_if_error": st.just(60.0),
        "ignore_cookies": NAMES,
        "bypass_cookies": NAMES,
        "strip_set_cookie": NAMES,
        "drop_query": st.just(["utm_*", "a"]),
        "sort_query": st.booleans(),
        "heuristic": st.sampled_from([False, 60.0]),
        "public": st.just(False),
        "tags": st.just(["t"]),
    },
)
PLACES = st.sampled_from(
    [
        {"path": "/a*"},
        {"prefix": "/b"},
        {"pattern": "/[ab]"},
        {"path": "/*", "query": ["a"]},
        {"path": "/a", "bypass": True},
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            *(
                ("vary", "Cookie"),
                ("vary", "Accept"),
                ("etag", '"1"'),
                ("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT"),
            ),
            *(
                ("set-cookie", "csrftoken=1"),
                ("cache-control", "max-age=60"),
                ("expires", "Wed, 01 Jan 2098 00:00:00 GMT"),
            ),
        ]
    ),
    max_size=3,
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["alice", "bob", ""]),
        st.sampled_from(["/a", "/b", "/a?a=1&b=2", "/b?b=2&a=1"]),
        st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]),
        st.sampled_from([0, 1, 70]),
    ),
    min_size=2,
    max_size=12,
)


def asking(user: str) -> dict[str, str]:
    return {"cookie": f"sessionid={user}"} if user else {}


def _policy(entry: dict[str, Any], place: dict[str, Any], default: dict[str, Any]) -> Policy:
    return Policy((PathPolicy(**({} if place.get("bypass") else entry), **place),), default=PathPolicy(**default))


@KINDS
@given(
    policy=st.builds(_policy, ENTRIES, PLACES, ENTRIES),
    profile=st.sampled_from(["safe", "rfc"]),
    status=st.sampled_from([200, 200, 200, 404, 302, 500]),
    lines=FIELDS,
    requests=REQUESTS,
)
def test_no_policy_shows_one_user_what_was_made_for_another(
    kind: Any, policy: Policy, profile: Any, status: int, lines: list[tuple[str, str]], requests: Any
) -> None:
    """Unless it says `public`. The app has a page for each session, and says at most how old its pages may be."""
    if profile == "rfc":
        # By the letter, a page with a lifetime of its own is for all.
        lines = [line for line in lines if line[0] in ("set-cookie", "vary", "etag")]

    async def main() -> None:
        made = 0

        def app(_target: str, seen: dict[str, str]) -> Answer:
            nonlocal made
            made += 1
            return status, lines, seen.get("cookie", "nobody") + f" page {made}"

        face = kind(app, policy, profile)
        for user, target, method, pause in requests:
            await asyncio.sleep(pause)
            body = (await face.get(target, method, **asking(user)))[0]
            owner = body.partition(" ")[0]
            assert owner in ("", "nobody", f"sessionid={user}")
        await face.close()

    run_virtual(main())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["alice", "bob", "", ""]), st.sampled_from(["/a", "/b"])),
        st.sampled_from(["head", "body", "end", "304", "503", "fail", "pause", "evict"]),
    ),
    min_size=3,
    max_size=20,
)


@given(policy=st.builds(_policy, ENTRIES, PLACES, ENTRIES), lines=FIELDS, steps=STEPS)
def test_no_policy_does_so_while_answers_are_on_their_way(
    policy: Policy, lines: list[tuple[str, str]], steps: list[Any]
) -> None:
    """Whoever joins whom, and however the answer comes."""

    async def main() -> None:
        bench = Bench(policy)
        asked = []
        for step in steps:
            if isinstance(step, tuple):
                user, target = step
                asked.append((user, bench.send(target, **asking(user))))
                continue
            await _step(bench, step, lines)
        for fetch in bench.origin.fetches:
            # More of them may begin while these end.
            if fetch.open:
                _finish(fetch, lines)
        for user, reply in asked:
            owner = reply.body.decode().partition(" ")[0]
            assert owner in ("", "nobody", "The", f"sessionid={user}"), "The app could not be reached, or a page"

    run_virtual(main())


async def _step(bench: Bench, step: str, lines: list[tuple[str, str]]) -> None:
    fetch = next((fetch for fetch in bench.origin.fetches if fetch.open), None)
    if step == "pause":
        await bench.wait(7)
    elif step == "evict":
        bench.store.delete(b"http://shop.example/a")
    elif fetch is None:
        return
    elif step == "fail":
        fetch.fail()
    elif step == "end":
        _finish(fetch, lines)
    elif step == "body":
        if "head" in fetch.log:
            fetch.body(b" more")
    elif "head" not in fetch.log:
        _head(fetch, lines, 200 if step == "head" else int(step))
        if step == "304":
            fetch.end()
    await bench.turn()


def _head(fetch: Any, lines: list[tuple[str, str]], status: int = 200) -> None:
    fetch.log.append("head")
    fetch.head(*lines, status=status)
    if status != 304:
        fetch.body(fetch.fields.get(b"cookie", b"nobody"))


def _finish(fetch: Any, lines: list[tuple[str, str]]) -> None:
    if "head" not in fetch.log:
        _head(fetch, lines)
    fetch.end()


def test_waiting_for_the_same_answer_shares_no_page_of_a_policy() -> None:
    """Who has a cookie and waits with a stranger is let go when the answer turns out to live by the policy."""

    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=60.0, stale_if_error=60.0),)))
        stranger, user, other = bench.send(), bench.send(cookie="a=b"), bench.send()
        assert len(bench.origin) == 1
        bench.origin[0].head(length=6)
        await bench.turn()
        assert len(bench.origin) == 2, "by itself"
        late = bench.send(cookie="c=d")
        assert len(bench.origin) == 3, "nor does who comes while the body does"
        bench.origin[0].body(b"nobody").end()
        bench.origin[1].answer(body=b"a=b")
        bench.origin[2].answer(body=b"c=d")
        assert [each.body for each in (stranger, user, other, late)] == [b"nobody", b"a=b", b"nobody", b"c=d"]
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("how", ["304", "500", "fail", "200"])
def test_what_is_stale_by_a_policy_is_not_for_users_either(how: str) -> None:
    """Neither confirmed, nor instead of an error."""

    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=5.0, stale_if_error=60.0),)))
        bench.fill(("etag", '"1"'), body=b"nobody")
        await bench.wait(6)
        stranger = bench.send()
        user = bench.send(cookie="a=b")
        assert len(bench.origin) == 2 + 1
        if how == "fail":
            bench.origin[1].fail()
        else:
            bench.origin[1].answer(status=int(how), body=b"" if how == "304" else b"nobody")
        assert b"if-none-match" not in bench.origin[2].fields
        bench.origin[2].answer(body=b"a=b")
        assert stranger.body == b"nobody"
        assert user.body == b"a=b"
        bench.at_rest()

    run_virtual(main())


def test_what_is_confirmed_for_strangers_is_not_joined_when_the_store_has_let_go_of_it() -> None:
    """For want of room: then nothing but the request on its way still knows whom the answer is for."""

    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=5.0),)))
        bench.fill(("etag", '"1"'), body=b"nobody")
        await bench.wait(6)
        stranger = bench.send()
        bench.store.delete(b"http://shop.example/")
        user = bench.send(cookie="a=b")
        assert len(bench.origin) == 3
        bench.origin[1].answer(status=304, body=b"")
        bench.origin[2].answer(body=b"a=b")
        assert (stranger.body, user.body) == (b"nobody", b"a=b")
        bench.at_rest()

    run_virtual(main())


def test_a_part_that_a_policy_keeps_is_not_completed_for_a_user() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=60.0),)), whole_ranges=0)
        part = ("content-range", "bytes 0-2/6")
        bench.send(range="bytes=0-2")
        bench.origin[0].answer(part, ("etag", '"1"'), status=206, body=b"nob")
        user = bench.send(cookie="a=b")
        assert b"range" not in bench.origin[1].fields
        bench.origin[1].answer(body=b"a=b")
        assert user.body == b"a=b"
        stranger = bench.send()
        assert bench.origin[2].fields[b"range"] == b"bytes=3-"
        late = bench.send(cookie="c=d")
        bench.origin[2].answer(("content-range", "bytes 3-5/6"), ("etag", '"1"'), status=206, body=b"ody")
        bench.origin[3].answer(body=b"c=d")
        assert (stranger.body, late.body) == (b"nobody", b"c=d")
        bench.at_rest()

    run_virtual(main())


def test_an_operators_lifetime_is_not_said_of_the_answer_to_a_form() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=60.0),)))
        bench.send(method="POST", has_body=True)
        bench.origin[0].answer(("content-location", "/"))
        assert bench.store.objects == 0
        bench.at_rest()

    run_virtual(main())


def test_cookies_that_came_in_two_lines_are_two() -> None:
    """Joined by a comma they would be one, whose value goes when its name is ignored, and the session with it."""

    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ignore_cookies=("_ga",)),)))
        raw = [(b"cookie", b"_ga=1"), (b"cookie", b"sessionid=alice")]
        request = InboundRequest(b"GET", b"http", b"shop.example", b"/", combine(raw), raw)
        bench.engine.handle(request, RecordingReply())
        assert bench.origin[0].fields[b"cookie"] == b"sessionid=alice"
        bench.origin[0].answer()
        bench.at_rest()

    run_virtual(main())


@pytest.mark.parametrize("status", [304, 200])
def test_a_cookie_of_a_304_that_ends_what_is_stored_is_not_lost(status: int) -> None:
    """Stripped only where the answer is stored; by this one it no longer is."""

    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=5.0, strip_set_cookie=("a",)),)))
        bench.fill(("etag", '"1"'))
        await bench.wait(6)
        reply = bench.send()
        said = [("cache-control", "private"), ("set-cookie", "a=b"), ("etag", '"1"')]
        bench.origin[1].answer(*said, status=status, body=b"" if status == 304 else b"new")
        assert reply.fields[b"set-cookie"] == b"a=b"
        bench.at_rest()

    run_virtual(main())


def test_a_user_who_leads_does_not_send_the_strangers_out_one_by_one() -> None:
    async def main() -> None:
        bench = Bench(Policy((PathPolicy("/*", ttl=5.0),)))
        user, *strangers = bench.send(cookie="a=b"), bench.send(), bench.send(), bench.send()
        bench.origin[0].answer(body=b"a=b")
        assert len(bench.origin) == 2
        bench.origin[1].answer(body=b"nobody")
        assert user.body == b"a=b"
        assert {each.body for each in strangers} == {b"nobody"}
        bench.at_rest()

    run_virtual(main())


@KINDS
@pytest.mark.parametrize("up", ["/../", "/..%2f", "/%2e%2e/", "/.%2E/", "/..%252f", "/..;/", "/..%5c", "/..%00/"])
def test_what_leads_out_of_a_public_path_is_not_public(kind: Any, up: str) -> None:
    """Who got a user to follow `/static/..%2fprofile` found their page in the cache, where the app folds dots."""
    static = PathPolicy("/static/*", ttl=3600.0, public=True, bypass_cookies=())
    policy = Policy((static,), default=PathPolicy(bypass_cookies=("sessionid",)))

    async def main() -> None:
        face = kind(lambda _target, seen: (200, [], seen.get("cookie", "nobody")), policy)
        assert "stored" in (await face.get("/static/a..b.css", cookie="sessionid=1"))[1]
        target = f"/static{up}profile"
        assert (await face.get(target, cookie="sessionid=1"))[0] == "sessionid=1"
        body, status, _ = await face.get(target)
        assert body == "nobody"
        assert "fwd=bypass" in status
        await face.close()

    run_virtual(main())


@FACES
def test_a_users_page_is_not_known_by_the_bytes_of_a_strangers(face: Any) -> None:
    """Over the wire: a browser's request in plain words, known after the first one, differs in its Cookie alone."""
    from .proxy.real_tools import run_real

    plain = ("User-Agent: x", "Accept-Encoding: gzip")

    async def main() -> None:
        async with face(
            lambda _target, seen: (200, [], seen.get("cookie", "nobody")), Policy((PathPolicy("/*", ttl=60.0),))
        ) as get:
            for _ in range(4):
                await get("/", *plain)
            assert "hit" in (await get("/", *plain))[1]
            for _ in range(3):
                body, status = await get("/", *plain, "Cookie: sessionid=alice")
                assert body == "sessionid=alice"
                assert "hit" not in status
            assert (await get("/", *plain))[0] == "nobody"

    run_real(main)

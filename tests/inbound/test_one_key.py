"""What the key sees is what the app sees, in the proxy and in the middleware alike.

A field that reaches the app and is in no key makes the page of one client that of all. The proxy once knew six of these
names and the middleware twenty-three; thirteen got through the one and not the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import penstock
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.rules.caching.unkeyed import FORWARDED, NEVER_KEYED, OF_CLIENT

from .asgi.clients import Client as AsgiClient
from .proxy.real_tools import Asked, rig, run_real

Seen = dict[str, str]
"""What the app was sent, names in lower case; `target` is the path as it read it."""
App = Callable[[str, Seen], tuple[int, list[str], str]]
"""From the target and the fields: status, header lines, body."""
Get = Callable[..., Awaitable[tuple[str, str]]]
"""Target and field lines to body and Cache-Status."""


@asynccontextmanager
async def through_proxy(app: App, policy: Policy, **settings: Any) -> AsyncIterator[Get]:
    async def script(asked: Asked) -> None:
        status, lines, body = app(asked.target, asked.fields)
        await asked.answer(*lines, status=f"{status} Said", body=body.encode())

    async with rig(script, policy=policy, **settings) as net:

        async def get(target: str, *lines: str) -> tuple[str, str]:
            client = await net.connect()
            _, fields, body = await client.get(target, *lines)
            return body.decode(), fields.get("cache-status", "")

        yield get


@asynccontextmanager
async def through_middleware(app: App, policy: Policy, **settings: Any) -> AsyncIterator[Get]:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        seen = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, lines, body = app(scope["raw_path"].decode(), seen)
        headers = [tuple(part.encode() for part in line.split(": ", 1)) for line in lines]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    site = penstock.CacheMiddleware(asgi, policy=policy, **settings)

    async def get(target: str, *lines: str) -> tuple[str, str]:
        fields = [
            (name.lower().encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)
        ]
        answer = await AsgiClient(site, target, host=b"shop", fields=fields).go()
        return answer.body.decode(), answer.cache_status

    yield get


FACES = pytest.mark.parametrize(
    "face",
    [pytest.param(through_proxy, marks=pytest.mark.real), through_middleware],
    ids=["proxy", "middleware"],
)
TRIED = (
    *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Proxy"),
    *("X-Forwarded-Prefix", "X-Host", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "Front-End-Https", "X-Script-Name"),
    *("X-Forwarded-Protocol", "X-Url-Scheme", "X-Original-Host", "X-Forwarded-Uri", "X-Forwarded-Host", "Forwarded"),
    *("X-Matched-Path", "X-Invoke-Path", "X-Invoke-Query", "X-Invoke-Status", "X-Now-Route-Matches"),
    *("X-Envoy-Original-Host", "X-Ingress-Path"),
)
LISTED = sorted(name.decode() for name in NEVER_KEYED | FORWARDED if name.decode() not in map(str.lower, TRIED))
MINE = "evil.example"
PAGE = ["Cache-Control: public, max-age=60"]
PLAIN = (200, PAGE, "page")


def echo(target: str, seen: Seen) -> tuple[int, list[str], str]:
    """An app that believes whatever it is told."""
    return 200, PAGE, f"{target} {MINE if MINE in seen.values() else 'plain'}"


@FACES
@pytest.mark.parametrize("name", [*TRIED, *LISTED, "X_Original_URL", "X_Forwarded_Host"])
def test_what_no_key_holds_reaches_no_other_client(face: Any, name: str) -> None:
    """It is dropped, or the request is passed by; what it made of the page is never another's."""

    async def main() -> None:
        async with face(echo, Policy()) as get:
            await get("/", f"{name}: {MINE}")
            assert (await get("/"))[0] == "/ plain"
            await get("/", f"{name}: {MINE}")
            body, status = await get("/")
            assert body == "/ plain"
            assert "hit" in status

    run_real(main)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(name.decode() for name in OF_CLIENT))
def test_the_proxy_lets_no_client_say_who_it_is(name: str) -> None:
    async def main() -> None:
        async with through_proxy(echo, Policy()) as get:
            assert (await get("/", f"{name}: {MINE}"))[0] == "/ plain"

    run_real(main)


@FACES
def test_trusted_fields_are_the_key_and_what_no_key_holds_is_passed_by(face: Any) -> None:
    """Behind a proxy of ours the public host and scheme tell pages apart; a prefix is never shared."""

    def told(_target: str, seen: Seen) -> tuple[int, list[str], str]:
        names = ("x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix")
        return 200, PAGE, " ".join([*(seen.get(name, "-") for name in names), seen["host"]])

    async def main() -> None:
        async with face(told, Policy(), trust_forwarded=True) as get:
            for host in ("a.example", "b.example"):
                for proto in ("http", "https"):
                    for expected in ("stored", "hit"):
                        body, status = await get("/", f"X-Forwarded-Host: {host}", f"X-Forwarded-Proto: {proto}")
                        assert body == f"{host} {proto} - shop"
                        assert expected in status
            for _ in range(2):
                body, status = await get("/", "X-Forwarded-Prefix: /p")
                assert body == "- - /p shop"
                assert "fwd=bypass" in status
                assert "stored" not in status
            assert (await get("/"))[0] == "- - - shop"

    run_real(main)


def varying(name: str) -> App:
    """An app whose page depends on one field, and says so."""
    return lambda _target, seen: (200, [*PAGE, f"Vary: {name}"], seen.get(name.lower(), "none"))


@FACES
@pytest.mark.parametrize("first", ["listed", "sent", "none"])
@pytest.mark.parametrize("name", ["X-Tenant", "Accept-Language", "Accept", "Accept-Encoding", "Origin"])
def test_a_field_that_connection_takes_away_is_not_in_the_key(face: Any, name: str, first: str) -> None:
    """The app once answered without it, and the cache kept that as the answer to those who do send it."""
    asked = {"listed": (f"Connection: close, {name}", f"{name}: mine"), "sent": (f"{name}: mine",), "none": ()}

    async def main() -> None:
        async with face(varying(name), Policy()) as get:
            for how in (first, *asked, *asked, *asked):
                body, _ = await get("/", *asked[how])
                # Where nothing is stored, the middleware may let the app see the request as it came.
                assert body == ("mine" if how == "sent" else "none")
            assert all(["hit" in (await get("/", *lines))[1] for lines in asked.values()])

    run_real(main)


@FACES
def test_a_field_of_one_hop_makes_no_variant(face: Any) -> None:
    async def main() -> None:
        async with face(varying("TE"), Policy()) as get:
            assert await get("/", "TE: trailers") == ("none", "penstock; fwd=uri-miss; stored")
            assert "hit" in (await get("/"))[1]

    run_real(main)


@pytest.mark.real
@pytest.mark.parametrize("trust", [False, True])
def test_what_varies_by_the_address_that_the_proxy_writes_is_for_that_address(trust: bool) -> None:
    """Clients send no X-Forwarded-For, so all shared one variant: the page of whoever came first."""

    async def main() -> None:
        async def script(asked: Asked) -> None:
            await asked.answer(*PAGE, "Vary: X-Forwarded-For", body=asked.fields["x-forwarded-for"].encode())

        async with rig(script, trust_forwarded=trust) as net:
            for said, sent in (("", ""), ("X-Forwarded-For: 192.0.2.9", "192.0.2.9, ")):
                for address in ("127.0.0.2", "127.0.0.3") * 3:
                    client = await net.connect(local_addr=(address, 0))
                    _, _, body = await client.get("/", *filter(None, [said]))
                    assert body.decode() == (sent if trust else "") + address

    run_real(main)


@pytest.mark.real
@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "X-Original-URL"])
def test_what_the_proxy_writes_or_drops_makes_no_variant(name: str) -> None:
    """What a client says there never reaches the app, so it chooses no page."""

    async def main() -> None:
        async with through_proxy(varying(name), Policy()) as get:
            body, _ = await get("/", f"{name}: {MINE}")
            assert MINE not in body
            body, status = await get("/")
            assert MINE not in body
            assert "hit" in status

    run_real(main)


SPELLINGS = (
    *("/account/me", "/%61ccount/me", "/%2561ccount/me", "//account/me", "/./account/me", "/x/../account/me"),
    *("/account%2fme", "/account;x/me", "/;x/account/me", "/%2e/account/me", "/x/%2e%2e/account/me", "/account//me"),
    *("/x/..;/account/me", "/Account/me", "/account%5cme", "/x/..%2faccount/me", "/account/./me", "/%41CCOUNT/me?q"),
)


@FACES
@pytest.mark.parametrize("first", [True, False], ids=["bypass-first", "bypass-last"])
@pytest.mark.parametrize("target", SPELLINGS)
def test_a_path_that_is_bypassed_is_so_in_every_spelling(face: Any, target: str, *, first: bool) -> None:
    """A victim is lured to a spelling that the glob does not match and the app does; all others see the page."""
    paths = [PathPolicy("/account/*", bypass=True), PathPolicy("/*", ttl=60.0)]
    policy = Policy(tuple(paths if first else reversed(paths)))

    def account(_target: str, seen: Seen) -> tuple[int, list[str], str]:
        return 200, PAGE, seen.get("cookie", "nobody")

    async def main() -> None:
        async with face(account, policy) as get:
            for who in ("alice", "mallory"):
                body, status = await get(target, f"Cookie: {who}")
                assert body == who
                assert "fwd=bypass" in status
                assert "stored" not in status
            await get("/accounts/me")
            assert "hit" in (await get("/accounts/me"))[1]

    run_real(main)


@FACES
@pytest.mark.parametrize("target", ["/me", "/me%0a", "/me%0D%0A", "/me%20", "/me%00", "/me%00.png", "/me.", "/me%3fx"])
def test_a_path_without_a_glob_is_bypassed_whatever_hangs_on_to_it(face: Any, target: str) -> None:
    """A route of Starlette ends with `$`, so a newline may follow: `/me%0a`, the page of `/me`, was stored."""
    policy = Policy((PathPolicy("/me", bypass=True), PathPolicy("/*", ttl=60.0)))

    def account(_target: str, seen: Seen) -> tuple[int, list[str], str]:
        return 200, PAGE, seen.get("cookie", "nobody")

    async def main() -> None:
        async with face(account, policy) as get:
            for who in ("alice", "mallory"):
                body, status = await get(target, f"Cookie: {who}")
                assert body == who
                assert "fwd=bypass" in status

    run_real(main)


COOKIES_OWN = (
    *("max-age=60", "max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "max-age=60, immutable"),
    *("max-age=60, must-revalidate, proxy-revalidate", "max-age=60, must-understand", "max-age=60, no-transform"),
    *("max-age=60, stale-while-revalidate=60", "max-age=0, must-revalidate", "no-cache", "private, max-age=60"),
)
FOR_ALL = ("max-age=60, public", "s-maxage=60", "max-age=60, public, must-revalidate", "s-maxage=60, must-revalidate")


def whose(value: str) -> App:
    """An app that shows each user a page of theirs, and says `value` of it."""
    return lambda _target, seen: (200, [f"Cache-Control: {value}", 'ETag: "1"'], seen.get("cookie", "nobody"))


@FACES
@pytest.mark.parametrize("authorization", [(), ("Authorization: Basic eA==",)], ids=["", "authorization"])
@pytest.mark.parametrize("value", COOKIES_OWN)
def test_a_page_for_a_cookie_is_nobody_elses(face: Any, value: str, authorization: tuple[str, ...]) -> None:
    """No word but `public` and `s-maxage` says that others may see it."""

    async def main() -> None:
        async with face(whose(value), Policy()) as get:
            for who in ("alice", "mallory"):
                body, status = await get("/", f"Cookie: {who}", *authorization)
                assert body == who
                assert "stored" not in status
            assert (await get("/"))[0] == "nobody"

    run_real(main)


@FACES
@pytest.mark.parametrize("value", FOR_ALL)
def test_a_page_for_all_is_for_those_with_cookies(face: Any, value: str) -> None:
    async def main() -> None:
        async with face(whose(value), Policy()) as get:
            assert (await get("/", "Cookie: alice"))[0] == "alice"
            assert (await get("/", "Cookie: bob"))[0] == "alice"

    run_real(main)


def failing(status: int, trigger: str, *lines: str) -> App:
    """An app that answers `status` to who sends `trigger`, and its page to all others."""
    return lambda _target, seen: (status, [*lines], "error") if trigger.lower() in seen else (200, PAGE, "page")


CLIENTS_OWN = (400, 406, 408, 411, 412, 413, 415, 416, 417, 422, 426, 428, 429, 431, 511)
FIELDS_OF_ONE = ("If-Match", "If-Unmodified-Since", "Range")


async def nobody_else_gets_it(face: Any, app: App, trigger: str, policy: Policy) -> None:
    # A suffix of what nobody knows goes to the app as it is; for other ranges it is asked for the whole.
    value = {"Range": "bytes=-999", "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}.get(trigger, '"x"')
    async with face(app, policy) as get:
        for _ in range(2):
            _, status = await get("/", f"{trigger}: {value}")
            assert "stored" not in status
        body, status = await get("/")
        assert body == "page"
        assert "fwd=uri-miss; stored" in status, "one client decides how the next is served"


@FACES
@pytest.mark.parametrize("status", [status for status in CLIENTS_OWN if status != 400])
def test_an_error_of_one_client_is_nobody_elses(face: Any, status: int) -> None:
    """Frameworks give their errors the lifetime of their pages, and one odd request took the page from all."""
    app = failing(status, "X-Odd", *PAGE)
    run_real(lambda: nobody_else_gets_it(face, app, "X-Odd", Policy()))


@FACES
@pytest.mark.parametrize("status", [400, 404, 410, 412, 416, 500, 503])
@pytest.mark.parametrize("trigger", FIELDS_OF_ONE)
def test_an_error_to_a_condition_or_a_range_is_nobody_elses(face: Any, status: int, trigger: str) -> None:
    run_real(lambda: nobody_else_gets_it(face, failing(status, trigger, *PAGE), trigger, Policy()))


@FACES
@pytest.mark.parametrize("status", [*CLIENTS_OWN, 302, 307, 401, 402, 403, 409, 451, 500, 502, 503, 599])
def test_the_ttl_of_a_policy_is_for_pages(face: Any, status: int) -> None:
    """One 500 of the app, or a 431 for large fields, was what everybody got for an hour."""
    policy = Policy((PathPolicy("/*", ttl=3600.0),))

    async def main() -> None:
        async with face(failing(status, "X-Odd"), policy) as get:
            assert "stored" not in (await get("/", "X-Odd: 1"))[1]
            assert (await get("/"))[0] == "page"

    run_real(main)


@FACES
def test_an_error_of_one_client_takes_no_stored_page_away(face: Any) -> None:
    """A 422 to the one who asks while the page is stale is that one's: the page still stands in when the app fails."""
    answers = {"x-odd": 422, "x-down": 503}

    def app(_target: str, seen: Seen) -> tuple[int, list[str], str]:
        status = next((answers[name] for name in answers if name in seen), 200)
        return status, ["Cache-Control: public, max-age=0, stale-if-error=60", 'ETag: "1"'], str(status)

    async def main() -> None:
        async with face(app, Policy()) as get:
            assert (await get("/"))[0] == "200"
            assert (await get("/", "X-Odd: 1"))[0] == "422"
            assert (await get("/", "X-Down: 1"))[0] == "200"

    run_real(main)


@FACES
def test_a_coding_that_is_not_declared_is_for_who_has_offered_it(face: Any) -> None:
    """Also where requests are known by their bytes: their Accept-Encoding matters then."""

    def coding(_target: str, seen: Seen) -> tuple[int, list[str], str]:
        return (200, [*PAGE, "Content-Encoding: gzip"], "zip") if "gzip" in seen.get("accept-encoding", "") else PLAIN

    async def main() -> None:
        async with face(coding, Policy()) as get:
            for _ in range(4):
                for value in ("gzip", "gzip, deflate, br"):
                    body, status = await get("/", f"Accept-Encoding: {value}")
                    assert body == "zip"
                assert "hit" in status
            for _ in range(4):
                for lines in ((), ("Accept-Encoding: br",), ("Accept-Encoding: identity",)):
                    assert (await get("/", *lines))[0] == "page"
            assert "hit" in (await get("/"))[1]

    run_real(main)

"""Every story ends alike with the short way of plain requests and without it, and is alike at every step.

Requests and answers are plain and odd, whole and in pieces; clients leave, join and let the proxy wait, the origin
breaks off or is silent, and what is stored is purged: at any moment. PENSTOCK_STORIES sets how many are tried.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock.inbound.cache.explain import explain_url
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.testing import run_virtual
from penstock.testing.virtual_loop import EPOCH

from .two_ways import End, World

STORIES = int(os.environ.get("PENSTOCK_STORIES", "300"))
DATE = b"Date: Thu, 01 Jan 2026 00:00:00 GMT"
assert EPOCH == 1_767_225_600.0
_PLAIN_FIELDS = [
    *(b"User-Agent: Mozilla/5.0 (X11)", b"Accept: */*", b"Accept-Encoding: gzip, br", b"Cookie: sid=1"),
    *(b"Connection: keep-alive", b"Accept-Language: en", b"Referer: http://x/Connection: keep-alive", b"DNT:1"),
    *(b"Sec-Fetch-Mode:   navigate  ", b"Cookie: b=2; c=\xe9\t", b"Upgrade-Insecure-Requests: 1", b"Priority: u=1"),
]
_ODD_FIELDS = [
    *(b"Connection: close", b"Connection: Keep-Alive", b"Keep-Alive: timeout=5", b"Range: bytes=0-3", b"X-Mark: 1"),
    *(b"If-None-Match: x", b"Authorization: Basic x", b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Host: evil"),
    *(b"Via: 1.1 x", b"TE: trailers", b"Accept-Encoding: gzip", b"x_y: 1", b"Proxy: http://evil", b"Host: shop"),
]
_HOSTS = [b"Host: shop.example"] * 6 + [b"Host: SHOP.example:80", b"Host:  shop.example ", b"Host: [::1]:8080"]
_BAD_HOSTS = [b"Host: a b", b"Host: x@y", b"Host: " + b"a" * 400, b"host: shop.example"]
_TARGETS = [b"/a"] * 4 + [b"/b", b"/c?d=%20e&f", b"//x", b"/a?x=1"]
_REQUEST = st.fixed_dictionaries(
    {
        "op": st.just("request"),
        "who": st.integers(0, 3),
        "line": st.sampled_from([b"GET %b HTTP/1.1"] * 12 + [b"HEAD %b HTTP/1.1", b"GET %b HTTP/1.0"]),
        "target": st.sampled_from(_TARGETS),
        "host": st.sampled_from(_HOSTS * 4 + _BAD_HOSTS),
        "fields": st.lists(st.sampled_from(_PLAIN_FIELDS * 6 + _ODD_FIELDS), max_size=4),
        "host_at": st.sampled_from([0] * 9 + [1]),
        "cut": st.sampled_from([0] * 9 + [1, 20, 70]),
        "twice": st.sampled_from([False] * 9 + [True]),
    }
)
LONG = b"(long)"
_CONTROL = [
    *([b"Cache-Control: max-age=60"] * 6 + [b"Cache-Control: private"] * 3 + [b"Cache-Control: no-store"] * 2),
    *(b"Cache-Control: s-maxage=5", b"cache-control: max-age=0", b"Cache-Control: no-cache", b"Pragma: no-cache"),
    *(b"Cache-Control: max-age=2, stale-while-revalidate=9", b"Cache-Control: public", b"CDN-Cache-Control: max-age=9"),
    *(b"Cache-Control: max-age=junk", b"Expires: Thu, 01 Jan 2026 01:00:00 GMT", b"X-None: 1"),
]
_ANSWER_FIELDS = [
    *(b"Content-Type: text/html", b'ETag: "x"', b"X-Request-Id: 8f", b"Server:  nginx ", b"Connection: keep-alive"),
    *(b"Set-Cookie: a=b", b"Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT", b"Keep-Alive: timeout=9", b"Age: 3"),
    *(b"Vary: Cookie", b"Vary: Accept-Encoding", b"Surrogate-Key: t", b"Content-Encoding: gzip", b"Via: 1.1 y"),
    *(b"Connection: close", b"Content-Type: text/event-stream", b"Link: <a>; rel=b", b"Empty:", b"Content-Range: x"),
    *(b"Cache-Control: must-revalidate", b"Transfer-Encoding: chunked", b"Content-Length: 4", b"Connection: x-a"),
]
_ANSWER = st.fixed_dictionaries(
    {
        "op": st.just("answer"),
        "who": st.integers(0, 3),
        "status": st.sampled_from(
            [b"200 OK"] * 9 + [b"404 Not Found", b"500 Oh", b"200 ", b"302 F", b"204 No", b"304 N"]
        ),
        "date": st.sampled_from([DATE] * 9 + [b"X: 1", b"Date: Wed, 31 Dec 2025 23:50:00 GMT", b"Date: junk"]),
        "control": st.sampled_from(_CONTROL),
        "fields": st.lists(st.sampled_from(_ANSWER_FIELDS[:5] * 4 + _ANSWER_FIELDS), max_size=3),
        "body": st.sampled_from([b"body"] * 8 + [b"", LONG, b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]),
        "framing": st.sampled_from(["length"] * 9 + ["chunked", "close", "short", "long", "interim", "bad"]),
        "cuts": st.lists(st.integers(0, 300), max_size=2).map(lambda cuts: cuts if len(cuts) > 1 else []),
    }
)
_OTHERS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["turn", "more", "clock"] * 3
            + ["reset", "eof", "slow", "fast", "break_off", "end"]
            + ["purge", "full", "policy", "explain", "drain", "unsent"]
        ),
        "who": st.integers(0, 3),
        "soft": st.booleans(),
        "what": st.sampled_from(["http://shop.example/a", "http://shop.example/b", "tag", "all"]),
        "seconds": st.sampled_from([0.01, 0.3, 1.2, 7.0, 40.0, 130.0]),
    }
)
_PLAIN_VISIT = st.fixed_dictionaries(
    {
        "op": st.just("visit"),
        "request": _REQUEST.map(lambda op: op | {"cut": 0, "twice": False, "host_at": 0, "host": _HOSTS[0]}),
        "answer": _ANSWER.map(lambda op: op | {"framing": "length", "cuts": [], "date": DATE, "status": b"200 OK"}),
        "target": st.integers(0, 30).map(lambda number: b"/%d" % number),
    }
)
"""A request and at once its answer, as nearly all are."""
STORY = st.lists(st.one_of(*[_REQUEST] * 2, *[_ANSWER] * 3, *[_PLAIN_VISIT] * 3, _OTHERS), min_size=4, max_size=30)


def request_bytes(op: dict[str, Any]) -> bytes:
    lines = [*op["fields"]]
    lines.insert(min(op["host_at"], len(lines)), op["host"])
    data: bytes = op["line"] % op["target"] + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return data * 2 if op["twice"] else data


def answer_bytes(op: dict[str, Any]) -> bytes:
    body, framing = b"x" * 70_000 if op["body"] is LONG else op["body"], op["framing"]
    lines = [b"HTTP/1.1 " + op["status"], op["date"], op["control"], *op["fields"]]
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif framing in {"length", "interim", "long", "short"}:
        lines.append(b"Content-Length: %d" % len(body))
        body = body[:-1] if framing == "short" else body + b"\r\nX" * (framing == "long")
    elif framing == "bad":
        lines.append(b"Bad\x00Name: 1")
    before = b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n" if framing == "interim" else b""
    return before + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} - {0, len(data)})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


class Story:
    """One world, and how each step is done in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[Any] = []

    async def begin(self, next_look: float) -> None:
        await self.world.open(next_look)
        for number in range(4):
            self.world.connect(f"192.0.2.{number % 3}" if number else "")

    async def step(self, op: dict[str, Any]) -> None:
        await getattr(self, "do_" + op["op"])(op)

    def client(self, op: dict[str, Any]) -> End:
        """Who left comes back on another connection."""
        clients = self.world.clients
        if clients[op["who"]].transport.lost:
            new = self.world.connect(f"192.0.2.{op['who']}")
            clients[op["who"]], clients[-1] = clients[-1], clients[op["who"]]
            assert clients[op["who"]] is new
        client: End = clients[op["who"]]
        return client

    def origin(self, op: dict[str, Any], *, waiting: bool) -> End | None:
        some = [end for end in self.world.origins if (end.waits if waiting else end.rest and not end.transport.lost)]
        return some[op["who"] % len(some)] if some else None

    async def do_request(self, op: dict[str, Any]) -> None:
        data, client = request_bytes(op), self.client(op)
        for piece in pieces_of(data, [op["cut"]]):
            client.transport.feed(piece)

    async def do_answer(self, op: dict[str, Any]) -> None:
        origin = self.origin(op, waiting=True)
        if origin is None:
            return
        origin.take()
        first, *origin.rest = pieces_of(answer_bytes(op), op["cuts"])
        origin.transport.feed(first)
        if not origin.rest and op["framing"] == "close":
            origin.transport.eof()

    async def do_visit(self, op: dict[str, Any]) -> None:
        await self.do_request(op["request"] | {"target": op["target"]})
        await self.do_answer(op["answer"])

    async def do_more(self, op: dict[str, Any]) -> None:
        origin = self.origin(op, waiting=False)
        if origin is not None:
            origin.transport.feed(origin.rest.pop(0))

    async def do_break_off(self, op: dict[str, Any]) -> None:
        origin = self.origin(op, waiting=True) or self.origin(op, waiting=False)
        if origin is not None:
            origin.transport.reset()

    async def do_end(self, op: dict[str, Any]) -> None:
        origin = self.origin(op, waiting=True) or self.origin(op, waiting=False)
        if origin is not None:
            origin.transport.eof()

    async def do_unsent(self, op: dict[str, Any]) -> None:
        origin = self.origin(op, waiting=True)
        if origin is not None:
            origin.transport.unsent = 0 if origin.transport.unsent else 5

    async def do_turn(self, _op: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    async def do_clock(self, op: dict[str, Any]) -> None:
        await asyncio.sleep(op["seconds"])

    async def do_reset(self, op: dict[str, Any]) -> None:
        self.client(op).transport.reset()

    async def do_eof(self, op: dict[str, Any]) -> None:
        self.client(op).transport.eof()

    async def do_slow(self, op: dict[str, Any]) -> None:
        client = self.client(op)
        client.connection.pause_writing()

    async def do_fast(self, op: dict[str, Any]) -> None:
        client = self.client(op)
        if getattr(client.connection, "paused"):  # noqa: B009 - of a ServerConnection
            client.connection.resume_writing()

    async def do_purge(self, op: dict[str, Any]) -> None:
        proxy, what = self.world.proxy, op["what"]
        if what == "all":
            self.told.append(proxy.purge(everything=True, soft=op["soft"]))
        elif what == "tag":
            self.told.append(proxy.purge(tags=["t"], soft=op["soft"]))
        else:
            self.told.append(proxy.purge(urls=[what], soft=op["soft"]))

    async def do_full(self, _op: dict[str, Any]) -> None:
        """As if others held more of what is on its way than all may."""
        flights = self.world.proxy.engine.flights
        most = flights._most_held
        flights._most_held = -1 if most >= 0 else self.world.proxy.store.max_bytes // 4

    async def do_policy(self, op: dict[str, Any]) -> None:
        """SIGHUP."""
        policy = Policy((PathPolicy("/b", 30.0), PathPolicy("/a", bypass=True))) if op["soft"] else Policy()
        self.world.proxy.replace_policy(policy)

    async def do_explain(self, op: dict[str, Any]) -> None:
        self.told.append(explain_url(self.world.proxy.engine, "http://shop.example/a"))

    async def do_drain(self, _op: dict[str, Any]) -> None:
        for client in self.world.clients:
            if not client.transport.lost:
                client.connection.drain()  # type: ignore[attr-defined]  # a ServerConnection


async def play(ops: list[dict[str, Any]], next_look: float, **options: Any) -> tuple[int, int]:
    """The story in both worlds, step by step; how many requests went the short way, and were inflated."""
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    stories = [Story(World(plain=plain, **options)) for plain in (True, False)]
    short, general = stories
    try:
        await asyncio.gather(*[story.begin(next_look) for story in stories])
        for number, op in enumerate(ops):
            for story in stories:
                if op["op"] not in {"turn", "clock"}:
                    await story.step(op)
            if op["op"] in {"turn", "clock"}:
                # Time is the same for both.
                await short.step(op)
            assert not failures, failures
            one, other = short.world.state(), general.world.state()
            for what, found in other.items():
                assert one[what] == found, (number, op, what)
            assert short.told == general.told, (number, op)
    finally:
        await asyncio.gather(*[story.world.close() for story in stories])
    way = short.world.proxy.plain
    assert way is not None
    assert general.world.proxy.plain is None
    assert not short.world.proxy.engine.flights.plain
    return way.answered, way.inflated


SEEN: list[tuple[int, int]] = []


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_both_ways_are_alike_at_every_step(tls: bool) -> None:
    SEEN.clear()

    @settings(max_examples=STORIES, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(STORY, st.sampled_from([0.0, *[1000.0] * 3]))
    def alike(ops: list[dict[str, Any]], next_look: float) -> None:
        SEEN.append(run_virtual(play(ops, next_look, tls=tls)))

    alike()
    answered, inflated = (sum(each) for each in zip(*SEEN, strict=True))
    assert min(answered, inflated) > STORIES / 10, (answered, inflated)

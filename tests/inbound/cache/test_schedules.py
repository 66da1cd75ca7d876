"""Any order of arrivals, answers, failures, purges and departures: nobody gets what is another's, all get an end.

The origin's bodies say for whom they were made and when it was asked; each has an ETag of its own, by which it is known
whatever became of it. PENSTOCK_SCHEDULES sets how many schedules are tried.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import AttemptTimeout, ConnectionLost, ConnectTimeout, ProtocolError
from penstock.inbound.cache.protocols import InboundRequest
from penstock.rules import range_reach
from penstock.testing import run_virtual

from .fakes import Bench, RecordingReply, ScriptedFetch

MODES = (
    "max-age=5",
    "public, max-age=5",
    "private, max-age=5",
    "no-store",
    "no-cache",
    "public, no-cache",
    "public, max-age=1, stale-while-revalidate=50, stale-if-error=100",
    "s-maxage=2",
    "",
)
ERRORS = (ConnectionLost, ConnectTimeout, AttemptTimeout, ProtocolError)
_SMALL = st.integers(0, 7)
_WHO = st.sampled_from([None] * 8 + ["a", "b"])
_ARRIVE = st.fixed_dictionaries(
    {
        "op": st.just("arrive"),
        "target": st.sampled_from(["/0"] * 5 + ["/1"]),
        "method": st.sampled_from(["GET"] * 8 + ["HEAD", "POST"]),
        "authorization": _WHO,
        "cookie": _WHO,
        "accept_language": st.sampled_from(["en", "de"]),
        "accept_encoding": st.sampled_from([None, None, "gzip", "br, gzip"]),
        "range": st.sampled_from([None] * 5 + ["bytes=0-5", "bytes=3-", "bytes=-4"]),
        "if_none_match": st.sampled_from([None] * 5 + ['"e0"', '"e1"']),
    }
)
_VARY = [None] * 5 + ["accept-language"] * 4 + ["cookie", "cookie, accept-language", "*"]
_HEAD = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["head", "head", "answer"]),
        "who": _SMALL,
        "mode": st.sampled_from([*MODES, *MODES[:2] * 3, *MODES[5:8] * 2]),
        "vary": st.sampled_from(_VARY),
        "cookie": st.sampled_from([False] * 9 + [True]),
        "status": st.sampled_from([200] * 6 + [206, 206, 206, 304, 304, 304, 304, 404, 500, 503]),
        "sized": st.booleans(),
        "coded": st.sampled_from([False] * 5 + [True]),
    }
)
_OTHERS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["body"] * 2 + ["end"] * 3 + ["fail", "leave", "slow", "fast"] + ["turn", "clock", "purge"] * 2
        ),
        "who": _SMALL,
        "soft": st.booleans(),
        "what": st.sampled_from(["/0", "/1", "tag", "all"]),
        "seconds": st.sampled_from([0.5, 1.5, 3.0, 10.0, 130.0]),
    }
)
_RANGES: dict[str, dict[str, int]] = {
    "as usual": {},
    "any range is far behind": {"near": 0},
    "any whole is too long for a range": {"whole_ranges": 10},
    "ranges go as they are": {"whole_ranges": 0},
}
SCHEDULES = st.lists(st.one_of(_ARRIVE, _ARRIVE, _HEAD, _HEAD, _OTHERS), min_size=12, max_size=60)


class Made:
    """A body of the origin, and whom it may reach."""

    def __init__(
        self, number: int, target: str, asked_at: int, only: dict[str, str | None], *, coded: bool = False
    ) -> None:
        self.tag = f'"e{number}"'
        self.target = target
        self.asked_at = asked_at
        self.only = only
        self.coded = coded
        """Without a word in Vary."""
        self.body = f"{number}:{target}:{asked_at}:{sorted(only.items())}".encode()

    def fits(self, request: InboundRequest) -> bool:
        sent = {name.decode(): value.decode() for name, value in request.fields.items()}
        return request.target.decode() == self.target and all(sent.get(n) == v for n, v in self.only.items())


class Answering:
    """What the origin has begun to answer to one fetch."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest


class Play:
    """One schedule."""

    def __init__(self, **settings: int) -> None:
        self.bench = Bench(max_refreshes=2, **settings)  # type: ignore[arg-type]
        self.now = 0
        self.clients: list[tuple[dict[str, Any], int, RecordingReply]] = []
        self.asked_at: list[int] = []
        self.answering: dict[int, Answering] = {}
        self.made: dict[str, Made] = {}
        self.purges: list[tuple[int, str]] = []

    async def step(self, op: dict[str, Any]) -> None:
        self.note_asked()
        self.now += 1
        await getattr(self, "do_" + op["op"])(op)
        self.note_asked()
        engine = self.bench.engine
        assert 0 <= engine.flights.refreshing <= 2
        assert engine.flights.held >= 0
        for flight in engine.flights:
            assert engine.flights.find(flight.flight_key) is flight
            assert not flight.alone

    def note_asked(self) -> None:
        """When the requests that are new went to the origin: a range that is far behind goes between two steps."""
        self.asked_at += [self.now] * (len(self.bench.origin) - len(self.asked_at))

    async def do_arrive(self, op: dict[str, Any]) -> None:
        fields = {n: v for n, v in op.items() if n not in {"op", "target", "method"} and v is not None}
        self.clients.append((op, self.now, RecordingReply()))
        # The reply is made by `send`, so that it is put here before anything is written to it.
        self.clients[-1] = (op, self.now, self.bench.send(op["target"], op["method"], **fields))

    def _open(self, who: int, *, begun: bool) -> tuple[int, ScriptedFetch] | None:
        found = [(n, f) for n, f in enumerate(self.bench.origin.fetches) if f.open and (n in self.answering) is begun]
        return found[who % len(found)] if found else None

    async def do_head(self, op: dict[str, Any]) -> None:
        found = self._open(op["who"], begun=False)
        if found is not None:
            self.begin(*found, op)

    async def do_answer(self, op: dict[str, Any]) -> None:
        found = self._open(op["who"], begun=False)
        if found is not None:
            self.begin(*found, op)
            self.finish(*found)

    def begin(self, number: int, fetch: ScriptedFetch, op: dict[str, Any]) -> None:
        status, request = op["status"], fetch.request
        fields = [("cache-control", op["mode"])] if op["mode"] else []
        fields += [("cache-tag", "t")]
        fields += [("vary", op["vary"])] if op["vary"] else []
        fields += [("set-cookie", "s=1")] if op["cookie"] else []
        wanted = fetch.fields.get(b"range", b"").decode()
        body = b""
        if status in {200, 206}:
            made = self._make(number, fetch, op)
            if_range = fetch.fields.get(b"if-range", b"").decode()
            if status == 206 and wanted and if_range:
                made = self.made[if_range]
            fields.append(("etag", made.tag))
            fields += [("content-encoding", "gzip")] if made.coded else []
            body = made.body
            if status == 206 and wanted and request.method == b"GET":
                first, last = _span(wanted, len(body))
                fields.append(("content-range", f"bytes {first}-{last}/{len(body)}"))
                body = body[first : last + 1]
            else:
                status = 200
        elif status == 304:
            condition = fetch.fields.get(b"if-none-match")
            known = None if condition is None else self.made.get(condition.decode())
            own = condition == request.fields.get(b"if-none-match")
            # A sound origin does not confirm a tag that a client made up, or has from elsewhere.
            if known is None or condition is None or (own and not known.fits(request)):
                status = 500
            else:
                # A 304 with another Vary would say that what was one client's is now another's (RFC 9111, 3.2).
                fields = [field for field in fields if field[0] != "vary"]
                fields.append(("etag", condition.decode()))
        if request.method == b"POST" and status < 400:
            self.purges.append((self.now, request.target.decode()))
        if request.method == b"HEAD":
            body = b""
        self.answering[number] = Answering(body)
        sized = op["sized"] or request.method == b"HEAD"
        fetch.head(*fields, status=status, length=len(body) if sized else None)

    def _make(self, number: int, fetch: ScriptedFetch, op: dict[str, Any]) -> Made:
        sent = {name.decode(): value.decode() for name, value in fetch.request.fields.items()}
        only: dict[str, str | None] = {}
        for name in (op["vary"] or "").split(", "):
            if name and name != "*":
                only[name] = sent.get(name)
        shared = "public" in op["mode"] or "s-maxage" in op["mode"]
        own = op["mode"] in {"private, max-age=5", "no-store"} or op["cookie"] or op["vary"] == "*"
        if own or (not shared and "authorization" in sent):
            only |= {name: sent.get(name) for name in ("authorization", "cookie")}
        elif not shared and "cookie" in sent:
            only["cookie"] = sent["cookie"]
        made = Made(number, fetch.request.target.decode(), self.asked_at[number], only, coded=op["coded"])
        self.made[made.tag] = made
        return made

    async def do_body(self, op: dict[str, Any]) -> None:
        found = self._open(op["who"], begun=True)
        if found is not None:
            state = self.answering[found[0]]
            if state.rest:
                found[1].body(state.rest[:5])
                state.rest = state.rest[5:]

    def finish(self, number: int, fetch: ScriptedFetch) -> None:
        state = self.answering[number]
        if state.rest:
            fetch.body(state.rest)
        fetch.end()

    async def do_end(self, op: dict[str, Any]) -> None:
        found = self._open(op["who"], begun=True)
        if found is not None:
            self.finish(*found)

    async def do_fail(self, op: dict[str, Any]) -> None:
        found = self._open(op["who"], begun=op["soft"])
        if found is not None:
            found[1].fail(ERRORS[op["who"] % len(ERRORS)]("it failed"))

    async def do_leave(self, op: dict[str, Any]) -> None:
        if self.clients:
            self.clients[op["who"] % len(self.clients)][2].leave()

    async def do_slow(self, op: dict[str, Any]) -> None:
        if self.clients:
            self.clients[op["who"] % len(self.clients)][2].slow()

    async def do_fast(self, op: dict[str, Any]) -> None:
        if self.clients:
            self.clients[op["who"] % len(self.clients)][2].fast()

    async def do_turn(self, op: dict[str, Any]) -> None:
        await self.bench.wait(0)

    async def do_clock(self, op: dict[str, Any]) -> None:
        await self.bench.wait(op["seconds"])

    async def do_purge(self, op: dict[str, Any]) -> None:
        engine, what, soft = self.bench.engine, op["what"], op["soft"]
        if what == "tag":
            engine.purge_tag(b"t", soft=soft)
        elif what == "all":
            engine.purge_all(soft=soft)
        else:
            engine.forget_url(b"http://shop.example" + what.encode(), soft=soft)
        if not soft:
            self.purges.append((self.now, what))

    async def to_the_end(self) -> None:
        for *_, reply in self.clients:
            reply.fast()
        last = {
            "op": "answer",
            "who": 0,
            "mode": "private",
            "vary": None,
            "cookie": False,
            "status": 200,
            "sized": True,
            "coded": False,
        }
        for _ in range(400):
            begun = self._open(0, begun=True)
            if begun is not None:
                self.finish(*begun)
            elif self._open(0, begun=False) is not None:
                await self.step(last)
            else:
                break
            await self.bench.wait(0)
        for *_, reply in self.clients:
            reply.fast()
        self.bench.at_rest()
        assert self.bench.engine.flights.held == 0

    def judge(self) -> None:
        for asked, began, reply in self.clients:
            if reply.gone:
                continue
            assert reply.over, f"no answer to {asked}"
            if reply.status >= 400:
                continue
            tag = reply.fields.get(b"etag")
            assert tag is not None, (asked, reply.status)
            made = self.made[tag.decode()]
            assert made.target == asked["target"]
            for name, value in made.only.items():
                assert asked[name.replace("-", "_")] == value, f"{asked} got {made.body!r}"
            told = reply.cache_status
            if made.coded and asked["accept_encoding"] is None:
                assert b"fwd=" in told, f"{asked} got gzip from the store"
                assert b"collapsed" not in told, f"{asked} shared gzip"
            if reply.status == 304 and b"fwd=" in told and b"collapsed" not in told:
                # The origin's own word about what the client has, however old that is.
                continue
            if asked["method"] == "POST":
                continue
            for when, what in self.purges:
                if when < began and what in (asked["target"], "tag", "all"):
                    assert made.asked_at >= when, f"{asked} of {began} got {made.body!r}, purged at {when}"
            if asked["method"] == "GET" and reply.ended:
                self.judge_body(asked, reply, made.body)

    def judge_body(self, asked: dict[str, Any], reply: RecordingReply, body: bytes) -> None:
        if reply.status == 304:
            assert asked["if_none_match"] is not None
            assert reply.body == b""
        elif reply.status == 206:
            first, last = _span(asked["range"], len(body))
            assert reply.body == body[first : last + 1]
            assert reply.fields[b"content-range"] == b"bytes %d-%d/%d" % (first, last, len(body))
        else:
            assert (reply.status, reply.body) == (200, body)


def _span(wanted: str, total: int) -> tuple[int, int]:
    start, _, end = wanted.removeprefix("bytes=").partition("-")
    if not start:
        return total - int(end), total - 1
    return int(start), min(int(end), total - 1) if end else total - 1


@settings(
    max_examples=int(os.environ.get("PENSTOCK_SCHEDULES", "300")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(SCHEDULES, st.sampled_from(list(_RANGES)))
def test_any_schedule(schedule: list[dict[str, Any]], how: str) -> None:
    chosen = _RANGES[how].copy()

    async def main() -> None:
        play = Play(**chosen)
        for op in schedule:
            await play.step(op)
        await play.to_the_end()
        play.judge()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_reach, "NEAR", chosen.pop("near", range_reach.NEAR))
        run_virtual(main())

"""Both sides of the engine, moved by hand: an origin that the test plays, clients that record what they got."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from penstock.errors import CallError, ConnectionLost
from penstock.inbound.cache.engine import CacheEngine
from penstock.inbound.cache.policy import Policy
from penstock.inbound.cache.protocols import ClientReply, InboundRequest
from penstock.messages import RawFields
from penstock.rules.caching.http_fields import combine
from penstock.rules.caching.options import CacheOptions
from penstock.stores.memory import MemoryStore
from penstock.wire.streams import Receiver

FRESH = ("cache-control", "max-age=60")
PRIVATE = ("cache-control", "private")


def raw_fields(fields: Any) -> RawFields:
    """Pairs of texts, or keywords with `_` for `-`, as the engine has them."""
    pairs = fields.items() if isinstance(fields, dict) else fields
    return [(name.lower().replace("_", "-").encode(), str(value).encode("latin-1")) for name, value in pairs]


class ScriptedFetch:
    """One request to the origin, which the test answers piece by piece."""

    def __init__(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None
    ) -> None:
        self.request = request
        self.fields = combine(fields)
        self.receiver = receiver
        self.reply = reply
        self.log: list[str] = []
        self.paused: Any = False
        self.cancelled = False
        self.over = False

    def pause(self) -> None:
        self.paused = True
        self.log.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.log.append("resume")

    def cancel(self) -> None:
        assert not self.over, "what is over cannot be cancelled"
        self.cancelled = True
        self.log.append("cancel")

    @property
    def open(self) -> bool:
        """Whether more may come."""
        return not self.over and not self.cancelled

    def interim(self, *fields: tuple[str, str], status: int = 103) -> None:
        self.receiver.on_interim(status, raw_fields(fields))

    def head(self, *fields: tuple[str, str], status: int = 200, length: int | None = None) -> ScriptedFetch:
        if self.open:
            self.receiver.on_head(status, b"Reason", raw_fields(fields), length)
        return self

    def body(self, *chunks: bytes) -> ScriptedFetch:
        for chunk in chunks:
            if self.open:
                self.receiver.on_body(chunk)
        return self

    def end(self) -> None:
        if self.open:
            self.over = True
            self.receiver.on_end()

    def fail(self, error: CallError | None = None) -> None:
        if self.open:
            self.over = True
            self.receiver.on_failed(error or ConnectionLost("the origin closed"))

    def answer(self, *fields: tuple[str, str], status: int = 200, body: bytes = b"body") -> None:
        """All at once."""
        self.head(*fields, status=status, length=len(body))
        if body:
            self.body(body)
        self.end()


class ScriptedOrigin:
    """An Origin: `fetches` are all that it was asked, oldest first."""

    def __init__(self) -> None:
        self.fetches: list[ScriptedFetch] = []

    def fetch(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None
    ) -> ScriptedFetch:
        fetch = ScriptedFetch(request, fields, receiver, reply)
        self.fetches.append(fetch)
        return fetch

    def __len__(self) -> int:
        return len(self.fetches)

    def __getitem__(self, index: int) -> ScriptedFetch:
        return self.fetches[index]


class RecordingReply:
    """A ClientReply that keeps what it is told and refuses what a client's protocol would."""

    def __init__(self) -> None:
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.paused = False
        self.interims: list[int] = []
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.length: int | None = None
        self.chunks: list[bytes] = []
        # Any: what a type checker has seen to be False may be True after the next step.
        self.ended: Any = False
        self.aborted = False
        self.gone = False

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        assert not self.status
        assert not self.over
        assert reason is not None
        assert fields is not None
        self.interims.append(status)

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        self.start(status, reason, fields, len(body))
        if body:
            self.chunks.append(body)
        self.ended = True

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        assert not self.over, "an answer after the end"
        assert not self.status, "two answers to one request"
        assert not self.gone, "an answer to nobody"
        assert status >= 200
        assert reason is not None
        self.status, self.fields, self.length = status, combine(fields), length

    def write(self, chunk: bytes) -> None:
        assert self.status
        assert not self.over
        assert not self.gone
        assert not self.paused, "written although the client takes no more"
        self.chunks.append(chunk)

    def end(self) -> None:
        assert self.status
        assert not self.over
        assert not self.gone
        assert self.length is None or len(self.body) == self.length, "shorter or longer than was said"
        self.ended = True

    def abort(self) -> None:
        assert not self.over
        assert not self.gone
        self.aborted = True

    # For the test.

    @property
    def over(self) -> bool:
        return self.ended or self.aborted

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def cache_status(self) -> bytes:
        return self.fields[b"cache-status"]

    def leave(self) -> None:
        """The client closes its connection."""
        if self.over or self.gone:
            return
        self.gone = True
        if self.on_closed is not None:
            self.on_closed()

    def slow(self) -> None:
        self.paused = True

    def fast(self) -> None:
        self.paused = False
        if self.on_resumed is not None and not self.over and not self.gone:
            self.on_resumed()


class Bench:
    """An engine between a ScriptedOrigin and RecordingReplies. Make it within a virtual loop."""

    def __init__(
        self,
        policy: Policy | None = None,
        options: CacheOptions | None = None,
        *,
        memory: int = 1 << 24,
        max_object: int | None = None,
        **settings: Any,
    ) -> None:
        self.origin = ScriptedOrigin()
        self.store = MemoryStore(memory, max_object_bytes=max_object)
        self.engine = CacheEngine(self.store, self.origin, policy=policy, options=options, **settings)
        # The last ones: what grows while many are asked for is measured, too.
        self.replies: deque[RecordingReply] = deque(maxlen=32)

    def send(self, target: str = "/", method: str = "GET", **fields: Any) -> RecordingReply:
        """A request that is under way, or answered already."""
        has_body = fields.pop("has_body", False)
        raw = raw_fields(fields)
        request = InboundRequest(
            method.encode(), b"http", b"shop.example", target.encode(), combine(raw), raw, has_body=has_body
        )
        reply = RecordingReply()
        self.replies.append(reply)
        self.engine.handle(request, reply)
        return reply

    async def turn(self) -> None:
        """Let what is due in the next turns of the loop happen."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        await self.engine.clock.sleep(seconds)

    def fill(
        self, *fields: tuple[str, str], body: bytes = b"old", target: str = "/", status: int = 200, **asked: Any
    ) -> RecordingReply:
        """Have an answer stored; returns the reply."""
        reply = self.send(target, **asked)
        self.origin[-1].answer(*fields, body=body, status=status)
        assert reply.ended
        return reply

    def at_rest(self) -> None:
        """Nothing is left of what was under way."""
        assert not self.engine.flights
        assert self.engine.flights.refreshing == 0
        # Whoever has its answer is not called back into a flight that is over, nor does it keep it in memory.
        kept = [each for each in self.replies if each.over and not each.gone and (each.on_closed or each.on_resumed)]
        assert not kept
        self.engine.close()

"""Requests that go to the app as they are: only the head of the answer is looked at, on its way out."""

from __future__ import annotations

from ...messages import RawFields
from ...rules.caching.cache_status import cache_status
from ...rules.caching.http_fields import combine
from ...rules.caching.invalidation import is_unsafe
from ...rules.caching.storing import may_keep
from ..cache.answers import PRODUCT
from ..cache.counters import count
from ..cache.engine import CacheEngine
from .request import AsgiRequest, Message, Send, length_in


class PassThrough:
    """The `send` that the app is given: adds Cache-Status, and tells the cache what it has to know.

    That is which stored responses an unsafe request makes untrue (RFC 9111, 4.4), and that an answer taken for one that
    cannot be stored could be: then the next request waits for one that is. Where its head does not say how long it is,
    only its end can tell. `request` None: one of which not even the URL is certain. `detail`: why it goes straight; the
    answer itself may say more of why it is not stored.
    """

    __slots__ = ("_detail", "_engine", "_refused", "_request", "_send", "_size", "_storable", "_why")

    def __init__(
        self,
        engine: CacheEngine,
        request: AsgiRequest | None,
        send: Send,
        why: str,
        *,
        detail: str,
        refused: bytes | None = None,
    ) -> None:
        self._engine = engine
        self._request = request
        self._send = send
        self._why = why
        self._detail = detail
        self._refused = refused
        """The key of the refusal because of which it goes straight."""
        self._storable = False
        """Nothing but the length of its body, which is not known yet, can forbid to store it."""
        self._size = 0
        engine.counters.origin_requests += 1
        count(engine.counters.misses, why)

    async def send(self, message: Message) -> None:
        """As ASGI has it."""
        if message["type"] == "http.response.start":
            message = self._noted(message)
        elif self._storable:
            self._measure(message)
        await self._send(message)

    def _noted(self, message: Message) -> Message:
        headers: RawFields = list(message.get("headers", ()))
        request = self._request
        if request is not None:
            if is_unsafe(request.method):
                self._engine.judge.invalidate(request, message["status"], combine(headers))
            elif self._refused is not None:
                self._weigh(request, message["status"], headers)
        headers.append((b"cache-status", cache_status(PRODUCT, hit=False, fwd=self._why, detail=self._detail)))
        return {**message, "headers": headers}

    def _weigh(self, request: AsgiRequest, status: int, headers: RawFields) -> None:
        fields = combine(headers)
        length = length_in(fields.items())
        verdict, _, _ = self._engine.judge.weigh(request, status, fields, length)
        self._storable = verdict.allowed
        if not verdict.allowed:
            self._detail = verdict.reason
        if verdict.allowed and length is not None:
            self._forget()

    def _measure(self, message: Message) -> None:
        self._size += len(message.get("body", b""))
        if may_keep(self._size, self._engine.store.max_object_bytes) is not None:
            self._storable = False
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._forget()

    def _forget(self) -> None:
        self._storable = False
        if self._request is not None and self._refused is not None:
            self._engine.refusals.forget(self._refused, self._request.fields)

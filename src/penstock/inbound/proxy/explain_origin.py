"""What the cache would make of an app's answer: one request goes to the app, through the engine itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...clock import current_clock
from ...messages import RawFields
from ...rules.caching.cookies import set_cookie_names
from ...rules.caching.decisions import REASONS
from ...rules.caching.http_fields import combine
from ...rules.caching.options import CacheOptions
from ...stores.memory import MemoryStore
from ...wire.streams import StreamClient
from ...wire.url import split_url
from ..cache.answers import PRODUCT
from ..cache.engine import CacheEngine
from ..cache.explain import explain, unstored
from ..cache.policy import Policy
from ..cache.policy_effects import Stored, effects
from ..cache.protocols import InboundRequest
from ..cache.purging import requests_for
from ..cache.to_store import to_store
from .missing_vary import missing_vary
from .one_answer import AnswerListener, OverheardOrigin, answer_of
from .origin import ProxyOrigin, screen

_OURS = re.compile(rb"(?:^|,)[ \t]*%b[ \t]*(?:[;,]|$)" % PRODUCT)
_MEMORY = 256 * 1024 * 1024
_SHOWN = (b"cache-control", b"cdn-cache-control", b"expires", b"age", b"date", b"last-modified", b"etag", b"vary")
_TAGS = (b"surrogate-key", b"cache-tag")
_FRESHNESS = frozenset({b"cache-control", b"cdn-cache-control", b"expires"})


class _Asked(NamedTuple):
    """What came of one GET: the engine that it went through, the request as it was and under the policy, the answer."""

    engine: CacheEngine
    before: InboundRequest
    after: InboundRequest
    listener: AnswerListener
    heard: RawFields
    """The fields as the app sent them."""
    seconds: float


class _Inquirer:
    """Sends GETs of one URL to one app, each through an engine that has nothing stored."""

    def __init__(self, url: str, client: StreamClient, options: CacheOptions | None, policy: Policy | None) -> None:
        self._url = url
        self._client = client
        self._options = options
        self._policy = policy

    async def ask(self, fields: Sequence[tuple[bytes, bytes]], timeout: float) -> _Asked:
        """One GET with `fields`. Raises CallError."""
        origin = OverheardOrigin(ProxyOrigin(self._client))
        engine = CacheEngine(
            MemoryStore(_MEMORY), origin, options=self._options, policy=self._policy, clock=current_clock()
        )
        request, before, after = (self._request(fields) for _ in range(3))
        began = engine.clock.now()
        try:
            listener = await answer_of(engine, origin, request, timeout)
        finally:
            engine.close()
        engine.under_policy(after)
        return _Asked(engine, before, after, listener, origin.fields, engine.clock.now() - began)

    async def answer_fields(self, fields: Sequence[tuple[bytes, bytes]], timeout: float) -> RawFields:
        """Those of the answer to one GET with `fields`."""
        return (await self.ask(fields, timeout)).heard

    def _request(self, fields: Sequence[tuple[bytes, bytes]]) -> InboundRequest:
        request = requests_for(self._url, fields)[0]
        screen(request, trust_forwarded=False)
        return request


async def explain_origin(
    url: str,
    fields: Sequence[tuple[bytes, bytes]] = (),
    *,
    origin: str | None = None,
    options: CacheOptions | None = None,
    policy: Policy | None = None,
    timeout: float = 60.0,
    once: bool = False,
) -> dict[str, Any]:
    """Send a GET of `url` to the app and say what the cache would do with the answer, ready for JSON.

    `origin` is where the app listens, if that is not what the URL says; the request fields `fields` have names in
    lower case. Where the answer would be stored, and its Vary may lack a field, at most two more GETs try that, unless
    `once`. Raises UsageError for what is no URL, ConnectError where the app could not be reached, and another CallError
    where no complete answer came within `timeout` seconds.
    """
    requests_for(url, fields)
    here = split_url(url)[0]
    client = StreamClient(
        origin or str(here),
        max_connections=1,
        connect_timeout=min(10.0, timeout),
        first_byte_timeout=timeout,
    )
    inquirer = _Inquirer(url, client, options, policy)
    try:
        asked = await inquirer.ask(fields, timeout)
        found = {"url": url, **_report(asked)}
        if found["stored"] and not once:
            found["vary"] = await missing_vary(
                str(here), fields, asked.heard, lambda other: inquirer.answer_fields(other, timeout)
            )
        return found
    finally:
        await client.aclose()


def _report(asked: _Asked) -> dict[str, Any]:
    engine, listener = asked.engine, asked.listener
    found = explain(engine, asked.after)
    reason = next(iter(engine.counters.uncacheable), None)
    variants = found["variants"]
    stored = bool(variants)
    if reason is None and not stored:
        reason = "not-taken"
    return {
        "key": found["key"],
        "from_penstock": is_from_penstock(asked.heard),
        "answer": {
            "status": listener.status,
            "seconds": round(asked.seconds, 3),
            "fields": _shown(listener.fields),
            "sets_cookie": any(name == b"set-cookie" for name, _ in listener.fields),
        },
        "stored": stored,
        "reason": reason,
        "why": f"It is fresh for {variants[0]['lifetime_s']:,.0f} s." if reason is None else REASONS[reason],
        "clause": variants[0]["lifetime_from"] if stored else _clause(found),
        "policy": found["policy"],
        "policy_at": found["policy_at"],
        "policy_did": effects(asked.before, asked.after, engine.policy, stored=_stored(variants), answer=asked.heard),
        "would_next": {name: found[name] for name in ("would", "why", "clause")},
        "clock_behind_s": found["clock_behind_s"],
        "variants": variants,
        "refused": found["refused"],
        "to_store": _to_store(asked, reason, found),
        "vary": {"tried": [], "missing": []},
    }


def is_from_penstock(fields: RawFields) -> bool:
    """Whether an answer with `fields` has come through a cache of ours (RFC 9211, 2)."""
    return any(name == b"cache-status" and _OURS.search(value) is not None for name, value in fields)


def _stored(variants: list[dict[str, Any]]) -> Stored | None:
    return Stored(*(variants[0][name] for name in ("status", "lifetime_s", "lifetime_from"))) if variants else None


def _to_store(asked: _Asked, reason: str | None, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What to do about why it was not stored or shared; else, where it would not be reused, about that."""
    if reason is None:
        if found["would"] in ("hit", "stale"):
            return []
        reason = found["reason"]
    said = [value.lower() for name, value in asked.heard if name in _FRESHNESS]
    facts = unstored(str(reason), asked.after, asked.listener.status)._replace(
        silent=not said,
        restricted=any(word in value for value in said for word in (b"private", b"no-store")),
        set_cookies=set_cookie_names(asked.heard),
    )
    return [to_store(facts, asked.after.target, asked.after.policy, asked.engine.policy)]


def _shown(fields: RawFields) -> dict[str, str]:
    combined = combine(fields)
    return {name.decode(): combined[name].decode("latin-1") for name in (*_SHOWN, *_TAGS) if name in combined}


def _clause(found: dict[str, Any]) -> str:
    return found["refused"][0]["clause"] if found["refused"] else "engine"

"""What the policy took away from a request and would take from its answer, or added, and which line of its file did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...messages import RawFields
from ...rules.caching.cookies import cookie_names, has_cookie, set_cookie_names, without_set_cookies
from .policy import PathPolicy, Policy
from .policy_match import parameters_of
from .protocols import InboundRequest
from .to_store import place_of


class Stored(NamedTuple):
    """Of what is stored: its status, the seconds of its lifetime, and where that is from."""

    status: int
    lifetime: float
    lifetime_from: str


class _Effect(NamedTuple):
    key: str
    names: tuple[str, ...]
    what: str


def effects(
    before: InboundRequest,
    after: InboundRequest,
    policy: Policy,
    *,
    stored: Stored | None = None,
    answer: RawFields | None = None,
) -> list[dict[str, Any]]:
    """What `policy` did to the request, `before` and `after` it was put under it, ready for JSON.

    `answer`: the fields as the app sent them.
    """
    entry = after.policy
    found = [*_of_request(before, after, entry), *_of_answer(entry, stored, answer)]
    return [
        {"key": each.key, "at": place_of(entry, policy, each.key), "names": list(each.names), "what": each.what}
        for each in found
    ]


def _of_request(before: InboundRequest, after: InboundRequest, entry: PathPolicy) -> Iterator[_Effect]:
    cookies, left = (cookie_names(request.fields.get(b"cookie", b"")) for request in (before, after))
    if gone := tuple(name for name in cookies if name not in left):
        yield _Effect("ignore_cookies", gone, f"{_list(gone)} of the request: ignored, and kept from the app")
    had, has = parameters_of(before.target), parameters_of(after.target)
    if dropped := tuple(dict.fromkeys(_parameter(each) for each in had if each not in has)):
        yield _Effect("drop_query", dropped, f"{_list(dropped)} of the query: not in the key, and kept from the app")
    if [each for each in had if each in has] != has:
        names = tuple(map(_parameter, has))
        yield _Effect("sort_query", names, f"the query: sorted to {', '.join(names)}")
    asked, sent = (request.fields.get(b"accept-language") for request in (before, after))
    if asked != sent:
        what = "no Accept-Language" if sent is None else f"Accept-Language: {sent.decode('latin-1')}"
        yield _Effect("accept_language", (), f"the request goes on with {what}")
    if after.bypass_cookie:
        named = tuple(name for name in cookies if has_cookie(name.encode("latin-1"), entry.bypass_cookies or ()))
        yield _Effect("bypass_cookies", named, f"{_list(named)} of the request: it goes to the app, as it is")
    if entry.bypass:
        yield _Effect("bypass", (), "the request goes to the app, and its answer is not stored")


def _of_answer(entry: PathPolicy, stored: Stored | None, answer: RawFields | None) -> Iterator[_Effect]:
    if entry.strip_set_cookie and answer is not None:
        names, left = set_cookie_names(answer), set_cookie_names(without_set_cookies(answer, entry.strip_set_cookie))
        if gone := tuple(name for name in names if name not in left):
            yield _Effect("strip_set_cookie", gone, f"{_list(gone)} of the answer: taken off where it is then stored")
    if stored is not None and stored.lifetime_from.startswith("policy"):
        own = (entry.ttl_by_status or {}).get(stored.status)
        key = "ttl" if own is None else "ttl_by_status"
        yield _Effect(key, (), f"{stored.lifetime:g} s, as the app does not say how long it holds")
    if entry.tags:
        yield _Effect("tags", entry.tags, f"{_list(entry.tags)}: added to those of the answer")


def _parameter(parameter: bytes) -> str:
    return parameter.partition(b"=")[0].decode("latin-1")


def _list(names: tuple[str, ...]) -> str:
    return " and ".join(names)

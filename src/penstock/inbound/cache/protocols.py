"""What the engine needs of the two sides it stands between: who asks, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ...messages import RawFields
from ...rules.caching.cache_key import drop_parameters
from ...rules.caching.cookies import has_cookie, may_hide_cookies, without_cookies
from ...rules.caching.lookup import SHAREABLE
from ...rules.caching.preferences import best_language
from ...rules.caching.query_order import sort_parameters
from ...rules.caching.request import CacheRequest
from ...wire.streams import Receiver
from .policy import NO_POLICY, PathPolicy

_LANGUAGE = frozenset({b"accept-language"})


@dataclass(slots=True, eq=False, repr=False)
class InboundRequest(CacheRequest):
    """A client's request: what the rules look at, and the fields as they came, for the origin."""

    fields: dict[bytes, bytes]
    raw: RawFields
    client: str = field(default="", kw_only=True)
    policy: PathPolicy = field(default=NO_POLICY, kw_only=True)
    authority: bytes = field(default=b"", kw_only=True)
    """The Host of the request, where the host of its key is another; else empty."""
    request_id: bytes = field(default=b"", kw_only=True)
    """By which a log finds it, here and in the app; empty where there is none."""

    def take_off(self, names: frozenset[bytes]) -> None:
        """Make it a request that never had the fields `names`: the key is to see what the app sees."""
        for name in names.intersection(self.fields):
            del self.fields[name]
        self.raw = [line for line in self.raw if line[0] not in names]

    def without(self, names: frozenset[bytes]) -> InboundRequest:
        """For the rules: the request as the origin sees it, where the fields `names` are not sent.

        Itself, if it has none of them.
        """
        if names.isdisjoint(self.fields):
            return self
        left = {name: value for name, value in self.fields.items() if name not in names}
        return replace(self, fields=left)

    def put_under(self, policy: PathPolicy) -> None:
        """Make of it what `policy` makes of it: without the parameters and the cookies that the policy drops.

        What is shared has one of the policy's languages, or none. What goes straight to the app keeps its cookies and
        its languages.
        """
        self.policy = policy
        self.target = target_under(policy, self.target)
        cookie = self.fields.get(b"cookie")
        if cookie is not None and policy.bypass_cookies:
            self.bypass_cookie = has_cookie(cookie, policy.bypass_cookies)
        if policy.bypass or self.bypass_cookie or self.method not in SHAREABLE:
            return
        if cookie is not None and policy.ignore_cookies:
            self._ignore_cookies(policy.ignore_cookies)
        if policy.unkeyed_cookies and b"cookie" in self.fields:
            self._take_out_of_key(policy.unkeyed_cookies)
        if policy.accept_language and b"accept-language" in self.fields:
            self._choose_language(policy.accept_language)

    def _take_out_of_key(self, names: tuple[str, ...]) -> None:
        sent = b"; ".join([value for name, value in self.raw if name == b"cookie"])
        # Where the app takes a comma or a blank for a separator, more than one cookie may stand there.
        if may_hide_cookies(sent) or not has_cookie(sent, names):
            return
        self.unkeyed_cookie = True
        del self.fields[b"cookie"]
        left = without_cookies(sent, names)
        if left:
            self.fields[b"cookie"] = left

    def _choose_language(self, offered: tuple[str, ...]) -> None:
        best = best_language(self.fields[b"accept-language"], offered)
        self.take_off(_LANGUAGE)
        if best is not None:
            self.raw.append((b"accept-language", best))
            self.fields[b"accept-language"] = best

    def _ignore_cookies(self, names: tuple[str, ...]) -> None:
        # From the lines as they came: combined they are joined by a comma, which is part of a value.
        left = without_cookies(b"; ".join([value for name, value in self.raw if name == b"cookie"]), names)
        self.raw = [field for field in self.raw if field[0] != b"cookie"]
        del self.fields[b"cookie"]
        if left:
            self.raw.append((b"cookie", left))
            self.fields[b"cookie"] = left


def target_under(policy: PathPolicy, target: bytes) -> bytes:
    """The target that stands in the key: without the parameters that `policy` drops, in its order."""
    if policy.drop_query and b"?" in target:
        target = drop_parameters(target, tuple(p.encode() for p in policy.drop_query))
    return sort_parameters(target) if policy.sort_query and b"&" in target else target


class ClientReply(Protocol):
    """Where an answer goes. Framing is its own business; nothing may be called after `respond`, `end` or `abort`."""

    on_resumed: Callable[[], None] | None
    on_closed: Callable[[], None] | None
    """Called once where the client goes away before its answer is complete."""

    @property
    def paused(self) -> bool:
        """The client is slow: write no more until `on_resumed` is called."""
        ...

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        """Send a 1xx response where the client's protocol has them."""
        ...

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        """Send a whole answer."""
        ...

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """Send a head; `length` bytes of body will follow, or an unknown number (None)."""
        ...

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body."""
        ...

    def end(self) -> None:
        """The body is complete."""
        ...

    def abort(self) -> None:
        """Break off, so that the client sees that the answer is not complete."""
        ...


class Fetch(Protocol):
    """One request to the origin that is under way."""

    def pause(self) -> None:
        """Ask the origin to wait."""
        ...

    def resume(self) -> None:
        """Go on after `pause`."""
        ...

    def cancel(self) -> None:
        """Give up; the receiver hears no more."""
        ...


class Origin(Protocol):
    """Where what is not stored comes from."""

    def fetch(self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None) -> Fetch:
        """Ask for `request`, with `fields` in place of its own.

        The answer goes to `receiver`, never before this returns. `reply` is that of the client whose body goes along;
        None where the request has no body.
        """
        ...

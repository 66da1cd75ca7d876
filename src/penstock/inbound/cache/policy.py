"""What an operator says about paths whose app does not say it itself. The app's own header fields come first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from ...errors import UsageError
from ...rules.caching.cache_control import Directives
from ...rules.caching.paths import climbs, readings
from ...rules.caching.policy_ttl import policy_directives
from .policy_checks import PLACES, WHERE, refusal, unreachable
from .policy_match import (
    Matcher,
    as_written,
    expression_of,
    in_any_spelling,
    parameters_in_any_spelling,
    parameters_of,
)


@dataclass(frozen=True, slots=True, repr=False)
class PathPolicy:
    """What holds for some paths: those that match one of `path`, `prefix` and `pattern`; without any of them, for all.

    None, wherever it may be, is what the policy's `default` says, and nothing where that says nothing either.

    - `path`: a glob over the raw path, without the query (`/static/*`). `prefix`: how the raw path begins, as plain
      text. `pattern`: a regular expression for the whole raw path.
    - `query`: globs, each of which has to match one of the query's parameters as they are written, `name=value` or the
      name alone. Empty: only requests without parameters. None: whatever the query is.
    - `ttl`: seconds of freshness for responses without Cache-Control, Expires or a targeted field, and with a status
      that may be cached by default (RFC 9110, 15.1): 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501.
    - `ttl_by_status`: the same for others by their number, which goes before `ttl`. Of 5xx 10 s at most; 401, 403 and
      407 only with `public`.
    - `stale_while_revalidate`, `stale_if_error`: seconds, for the same responses, but not for 5xx.
    - `public`: a response with such a lifetime is for requests with Authorization or with cookies, too. Otherwise it is
      neither stored for, nor given to, nor shared with those.
    - `heuristic`: seconds, at most, of the lifetime that is estimated from Last-Modified; False: none.
    - `ignore_cookies`: names (globs) taken out of requests of GET and HEAD before anything looks at them.
    - `bypass_cookies`: names (globs); a request with one of them goes to the app, and its response is not stored.
    - `unkeyed_cookies`: names (no globs) of cookies that reach the app with GET and HEAD, and that nothing else looks
      at: a response that sets no cookie counts as made without them. For `csrftoken` of Django that is true.
    - `drop_query`: names (globs) of query parameters that are not part of the key and do not reach the app.
    - `sort_query`: the parameters are sorted by their names, for the key and for the app.
    - `strip_set_cookie`: names (globs) of cookies that responses to GET go without where they are then stored.
    - `accept_language`: the languages that the app has; Accept-Language becomes the best of them, for the key and for
      the app.
    - `tags`: added to those of the response.
    - `bypass`: never stored, never shared, however path and query are written: decoded, folded, in upper or lower case.
      It holds wherever it matches, before all other entries, and takes nothing from the default.
    - `lines`: where in the policy's file each key stands.

    Raises UsageError for what cannot be meant.
    """

    path: str | None = None
    ttl: float | None = None
    _: KW_ONLY
    prefix: str | None = None
    pattern: str | None = None
    query: tuple[str, ...] | None = None
    ttl_by_status: Mapping[int, float] | None = field(default=None, hash=False)
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    public: bool | None = None
    heuristic: float | Literal[False] | None = None
    ignore_cookies: tuple[str, ...] | None = None
    bypass_cookies: tuple[str, ...] | None = None
    unkeyed_cookies: tuple[str, ...] | None = None
    drop_query: tuple[str, ...] | None = None
    sort_query: bool | None = None
    strip_set_cookie: tuple[str, ...] | None = None
    accept_language: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    bypass: bool = False
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        said = self.said()
        refused = refusal(said)
        if refused is not None:
            raise UsageError(f"{refused.key}: {refused.why}")
        for name, value in said.items():
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    def said(self) -> dict[str, Any]:
        """The keys that say something, by the names that they have in a file, and their values."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "lines"}
        values["match"] = values.pop("path")
        return {
            name: value for name, value in values.items() if value is not None and (name, value) != ("bypass", False)
        }

    def __repr__(self) -> str:
        said = ", ".join(f"{'path' if name == 'match' else name}={value!r}" for name, value in self.said().items())
        return f"PathPolicy({said})"

    @property
    def where(self) -> str:
        """Which requests it is for, as it would stand in the file: `match = "/static/*"`."""
        said = self.said()
        parts = [f"{name} = {_toml(said[name])}" for name in (*PLACES, "query") if name in said]
        return ", ".join(parts) or "all paths without an entry"

    def stand_in(self, status: int) -> Directives | None:
        """The directives that stand in for those that the app does not send; None where nothing does."""
        return policy_directives(
            status,
            self.ttl,
            self.ttl_by_status,
            stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=self.stale_if_error,
            public=bool(self.public),
        )

    def over(self, default: PathPolicy) -> PathPolicy:
        """What holds where `default` says what this one does not."""
        missing = {name: value for name, value in default.said().items() if getattr(self, name) is None}
        if self.bypass or not missing:
            return self
        return dataclasses.replace(self, **missing, lines={**default.lines, **self.lines})


NO_POLICY = PathPolicy()
_CLIMBING = PathPolicy("/*/../*", bypass=True)
"""For a path that an app may take for another one than the entries are written for: what it is is anybody's guess."""


@dataclass(frozen=True)
class Policy:
    """The first entry that matches holds, but any that says `bypass` goes before; what it does not say, `default` says.

    Where there are entries, a path with `..` in it, in any spelling, is bypassed: it may lead out of what one is for.
    `default` holds for requests without an entry, too, and says nothing of paths or `bypass`. `source`: the file that
    it was read from. Raises UsageError for one that cannot be meant.
    """

    paths: tuple[PathPolicy, ...] = ()
    default: PathPolicy = NO_POLICY
    source: str | None = field(default=None, compare=False)
    applies: bool = field(init=False, repr=False, compare=False)
    """Whether it says anything at all."""
    entries: tuple[PathPolicy, ...] = field(init=False, repr=False, compare=False)
    """`paths` with what `default` adds to each."""
    _written: tuple[tuple[Matcher, PathPolicy], ...] = field(init=False, repr=False, compare=False)
    _bypasses: tuple[tuple[Matcher, PathPolicy], ...] = field(init=False, repr=False, compare=False)
    _by_query: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not WHERE.isdisjoint(self.default.said()) or self.default.bypass:
            raise UsageError(
                "the default of a policy is for all paths; it has no path, prefix, pattern, query or bypass"
            )
        hidden = unreachable([each.said() for each in self.paths])
        if hidden is not None:
            raise UsageError(f"{self.paths[hidden.table].where}: {hidden.why}")
        entries = tuple(each.over(self.default) for each in self.paths)
        self._set("applies", bool(entries) or self.default != NO_POLICY)
        self._set("entries", entries)
        self._set("_written", tuple((as_written(_expression(each), each.query), each) for each in entries))
        bypasses = tuple((in_any_spelling(_expression(each), each.query), each) for each in entries if each.bypass)
        self._set("_bypasses", bypasses)
        self._set("_by_query", any(each.query is not None for each in entries))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def for_target(self, target: bytes) -> PathPolicy:
        """What holds for a request target (path, perhaps with a query)."""
        path = target.partition(b"?")[0]
        parameters = parameters_of(target) if self._by_query else []
        if self._bypasses:
            # The app decides what a path means, and to guess wrongly is to show one user's page to others.
            spelt = parameters_in_any_spelling(target) if self._by_query else []
            for reading in readings(path):
                for matcher, policy in self._bypasses:
                    if matcher.fits(reading, spelt) or matcher.fits(reading, parameters):
                        return policy
        if self._written and climbs(path):
            return _CLIMBING
        for matcher, policy in self._written:
            if matcher.fits(path, parameters):
                return policy
        return self.default


def _expression(policy: PathPolicy) -> str:
    return expression_of(policy.path, policy.prefix, policy.pattern)


def _toml(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return f"'{value}'" if "\\" in value else f'"{value}"'
    return f"[{', '.join(map(_toml, value))}]"

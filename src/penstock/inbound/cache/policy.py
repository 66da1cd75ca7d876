"""What an operator says about paths whose app does not say it itself. The app's own header fields come first."""

from __future__ import annotations

import fnmatch
import functools
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from ...errors import UsageError
from ...rules.caching.cache_control import LONGEST_REMEMBERED
from ...rules.caching.paths import readings


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """What holds for the paths that match `path`: a glob over the raw path (`/static/*`), without the query.

    - `ttl`: seconds of freshness for responses without Cache-Control, Expires or a targeted field, and with status 200,
      203, 204, 206, 300, 301, 308, 404 or 410. None: none.
    - `stale_while_revalidate`, `stale_if_error`: seconds, for the same responses.
    - `ignore_cookies`: names (globs) taken out of requests of GET and HEAD before anything looks at them.
    - `drop_query`: names (globs) of query parameters that are not part of the key and do not reach the app.
    - `strip_set_cookie`: remove Set-Cookie from responses, which can then be stored.
    - `tags`: added to those of the response.
    - `bypass`: never stored, never shared, however the path is written: decoded, folded, in upper or lower case. It
      holds wherever it matches, before all other entries.
    """

    path: str = "/*"
    ttl: float | None = None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    ignore_cookies: tuple[str, ...] = ()
    drop_query: tuple[str, ...] = ()
    strip_set_cookie: bool = False
    tags: tuple[str, ...] = ()
    bypass: bool = False

    def cache_control(self) -> bytes | None:
        """The Cache-Control that stands in for the one the app does not send; None where nothing does."""
        if self.ttl is None:
            return None
        parts = [f"max-age={int(self.ttl)}"]
        if self.stale_while_revalidate:
            parts.append(f"stale-while-revalidate={int(self.stale_while_revalidate)}")
        if self.stale_if_error:
            parts.append(f"stale-if-error={int(self.stale_if_error)}")
        return ", ".join(parts).encode()


NO_POLICY = PathPolicy()


@dataclass(frozen=True)
class Policy:
    """The first entry whose path matches holds, but any that says `bypass` goes before.

    Raises UsageError for one that cannot be meant.
    """

    paths: tuple[PathPolicy, ...] = ()
    _compiled: tuple[tuple[re.Pattern[bytes], PathPolicy], ...] = field(init=False, repr=False, compare=False)
    _bypasses: tuple[tuple[re.Pattern[bytes], PathPolicy], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = []
        for each in self.paths:
            if not each.path.startswith("/"):
                raise UsageError(f"policy for {each.path!r}: a path begins with a slash")
            compiled.append((re.compile(fnmatch.translate(each.path).encode()), each))
        object.__setattr__(self, "_compiled", tuple(compiled))
        bypasses = [(_in_any_spelling(each.path), each) for each in self.paths if each.bypass]
        object.__setattr__(self, "_bypasses", tuple(bypasses))

    def for_target(self, target: bytes) -> PathPolicy:
        """What holds for a request target (path, perhaps with a query)."""
        path = target.partition(b"?")[0]
        if self._bypasses:
            # The app decides what a path means, and to guess wrongly is to show one user's page to others.
            for reading in readings(path):
                for pattern, policy in self._bypasses:
                    if pattern.match(reading):
                        return policy
        for pattern, policy in self._compiled:
            if pattern.match(path):
                return policy
        return NO_POLICY


def _in_any_spelling(glob: str) -> re.Pattern[bytes]:
    spellings = dict.fromkeys((glob, unquote(glob)))
    return re.compile(b"|".join(fnmatch.translate(each).encode() for each in spellings), re.IGNORECASE)


def without_cookies(cookie: bytes, ignored: tuple[str, ...]) -> bytes:
    """A Cookie field's value without the cookies whose names match one of `ignored`; may be empty."""
    # Clients make as many as they like, and what is remembered is not charged to the budget of the store.
    without = _without_cookies if len(cookie) > LONGEST_REMEMBERED else _remembered_without_cookies
    return without(cookie, ignored)


def _without_cookies(cookie: bytes, ignored: tuple[str, ...]) -> bytes:
    kept = []
    for pair in cookie.split(b";"):
        name = pair.partition(b"=")[0].strip().decode("latin-1")
        if pair.strip() and not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored):
            kept.append(pair.strip())
    return b"; ".join(kept)


_remembered_without_cookies = functools.lru_cache(1024)(_without_cookies)

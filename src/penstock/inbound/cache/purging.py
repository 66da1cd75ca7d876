"""Purging by URL, by tag, or everything, and how a URL that people write becomes the key that requests have."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UsageError
from ...rules.caching.cache_key import normalise_host
from ...rules.caching.http_fields import combine
from ...rules.caching.surrogate_tags import is_tag
from ...wire.url import split_url
from .engine import CacheEngine
from .protocols import InboundRequest

MAX_NAMES = 1000
"""URLs and tags in one purge: it is done in one go, and requests wait meanwhile."""
_LONGEST = 8 * 1024


def requests_for(url: str, fields: Sequence[tuple[bytes, bytes]] = ()) -> list[InboundRequest]:
    """The requests that clients may send for `url`: as it is, and with the other scheme.

    Where something in front of the cache ends TLS, clients ask for https and the cache sees http. Raises UsageError
    for what is no absolute URL of http or https.
    """
    origin, target = split_url(url)
    here, other = (b"https", b"http") if origin.scheme == "https" else (b"http", b"https")
    host = normalise_host(origin.authority.encode(), here)
    other_host = None if host is None else normalise_host(host, other)
    if host is None or other_host is None:
        raise UsageError(f"{origin.authority!r} is not a host that a request could be for")
    raw = [(b"host", origin.authority.encode()), *(field for field in fields if field[0] != b"host")]
    return [
        InboundRequest(b"GET", scheme, name, target.encode(), combine(raw), [*raw])
        for scheme, name in ((here, host), (other, other_host))
    ]


def keys_of(engine: CacheEngine, url: str) -> list[bytes]:
    """The keys of `url`: as the policy makes them, and as it may have been before another policy. Raises UsageError."""
    keys = []
    for request in requests_for(url):
        keys.append(engine.key_of(request))
        engine.under_policy(request)
        keys.append(engine.key_of(request))
    return list(dict.fromkeys(keys))


def checked_tag(tag: str) -> bytes:
    """The tag as responses have it. Raises UsageError for what can be none: each would purge nothing, silently."""
    name = tag.encode("utf-8", "replace")
    if len(name) > _LONGEST or not is_tag(name):
        raise UsageError(
            f"{tag[:100]!r} is no tag: tags have no blanks, commas or control characters, and are not empty"
        )
    return name


def purge(
    engine: CacheEngine,
    *,
    urls: Sequence[str] = (),
    tags: Sequence[str] = (),
    everything: bool = False,
    soft: bool = False,
) -> int:
    """Purge, and return how many stored responses that concerned (of a tag: at most).

    `soft`: they may be sent once more, as stale ones, while a new one is fetched. An answer that is on its way is
    purged as well. Raises UsageError, before anything is purged, for a URL or tag that cannot be one, for more than
    MAX_NAMES of them, and for none.
    """
    if everything and (urls or tags):
        raise UsageError("everything includes all URLs and tags: give one or the other")
    if not (everything or urls or tags):
        raise UsageError("nothing to purge: give URLs, tags, or everything")
    if len(urls) + len(tags) > MAX_NAMES:
        raise UsageError(f"{len(urls) + len(tags)} URLs and tags are more than the {MAX_NAMES} of one purge")
    keys = [key for url in dict.fromkeys(urls) for key in keys_of(engine, url)]
    names = [checked_tag(tag) for tag in dict.fromkeys(tags)]
    if everything:
        purged = engine.purge_all(soft=soft)
    else:
        purged = sum(engine.forget_url(key, soft=soft) for key in keys)
        purged += sum(engine.purge_tag(name, soft=soft) for name in names)
    engine.counters.purged += purged
    return purged

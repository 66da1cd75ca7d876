"""Header fields: which may stand on the wire, and which are harmless whoever reads them."""

from __future__ import annotations

from .errors import UsageError

HARMLESS_FIELDS = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-encoding"),
        *("content-language", "content-location", "content-md5", "content-type", "idempotency-key", "pragma", "prefer"),
        *("range", "user-agent"),
    }
)
"""Request fields that say what is wanted or sent, and nothing of who asks; names in lower case.

Any other may let somebody in: APIs have names of their own for that, so none is known beforehand.
"""


def check_field(name: str, value: str) -> None:
    """Raises UsageError, which does not show the value, for a name that is no token or a value that ends the line."""
    # A CR, LF or NUL in a field is how one request is smuggled inside another (RFC 9110, 5.5).
    if not name or not name.isascii() or any(not (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name):
        raise UsageError(f"header name {name!r} is not a token (RFC 9110, 5.1)")
    if any(c in value for c in "\r\n\0"):
        raise UsageError(f"header {name!r}: the value holds a CR, LF or NUL, which is refused")

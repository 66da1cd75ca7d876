"""Coded bodies without `Vary: Accept-Encoding`: whom they are for.

An app, or what stands before it, that codes its answers for who can read that and does not say so has one stored
answer for all. In the safe profile it is kept as if it varied, and is for those only who have offered the coding.
"""

from __future__ import annotations

from .cache_key import vary_names
from .codings import ENCODING
from .http_fields import FieldMap, split_list
from .options import CacheOptions

_KNOWN = frozenset({b"gzip", b"x-gzip", b"compress", b"x-compress", b"deflate", b"br", b"zstd", b"dcb", b"dcz"})
"""Those of the registry that clients offer: what else an app writes there is none that anybody could have asked for."""


def undeclared_coding(fields: FieldMap, options: CacheOptions) -> bytes | None:
    """How a response with `fields` is coded, where it does not vary by what clients offer; None otherwise."""
    coding = fields.get(b"content-encoding")
    if coding is None or options.profile != "safe" or ENCODING in (vary_names(fields) or ()):
        return None
    return b", ".join(each for each in split_list(coding.lower()) if each in _KNOWN) or None


def vary_and_coding(fields: FieldMap, options: CacheOptions) -> tuple[tuple[bytes, ...], bytes | None]:
    """What a response with `fields` is kept as varying with, and its coding, if that was not declared."""
    vary, coding = vary_names(fields) or (), undeclared_coding(fields, options)
    return (vary if coding is None else tuple(sorted((*vary, ENCODING)))), coding

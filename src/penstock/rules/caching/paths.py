"""How an app may read the path of a request: what is forbidden for one spelling is forbidden for all of them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .uri_reference import without_dots

# Nothing to decode, to fold or to strip, and no slash at the end.
_PLAIN = re.compile(rb"(?:/[^/%;\\.\x00-\x20\x7f][^/%;\\\x00-\x20\x7f]*(?<!\.))+")
_PARAMETERS = re.compile(rb";[^/]*")
_SLASHES = re.compile(rb"//+")
# `$` in a pattern lets a newline follow; file systems of Windows drop dots and blanks.
_LOOSE_ENDS = re.compile(rb"(?<=[^/.\x00-\x20\x7f])[.\x00-\x20\x7f]+(?=/|\Z)")
# C strings end at NUL, and who splits a URL after decoding it finds a query in it.
_CUT = re.compile(rb"[\x00?#]")
_CLIMBS = re.compile(rb"[/\\]\.\.[\x00-\x20\x7f]*(?:[/\\;?#\x00]|\Z)")
MOST_ROUNDS = 3
"""An app behind a server that decodes may decode once more; nobody has been seen to do it more often."""


def climbs(path: bytes) -> bool:
    """Whether an app may find a `..` segment in `path`, and so serve something outside of where it begins.

    Browsers fold what they see (RFC 3986, 5.2.4), so only who means to be misread sends one, as `..%2f` or `..;`.
    """
    for _ in range(MOST_ROUNDS + 1):
        if b".." in path and _CLIMBS.search(path):
            return True
        if b"%" not in path:
            return False
        path = unquote_to_bytes(path)
    return False


def readings(path: bytes) -> list[bytes]:
    """The paths that servers and frameworks are known to make of `path`, the raw one first.

    Percent-decoded, once and again; backslashes as slashes; without empty and dot segments (RFC 3986, 5.2.4, and with
    slashes merged before); without the parameters of segments (`;v=1`); without what may hang on to a segment unseen
    (control characters, blanks, dots) and what follows on a NUL or a decoded `?`; without a slash at the end.
    """
    if _PLAIN.fullmatch(path):
        return [path]
    found = {path: None}
    decoded = path
    for _ in range(MOST_ROUNDS + 1):
        slashed = decoded.replace(b"\\", b"/")
        found[decoded] = None
        bare = _PARAMETERS.sub(b"", slashed)
        for form in (slashed, bare, _CUT.split(_LOOSE_ENDS.sub(b"", bare), 1)[0]):
            found[without_dots(form)] = None
            merged = without_dots(_SLASHES.sub(b"/", form))
            found[merged] = found[merged.rstrip(b"/") or b"/"] = None
        if b"%" not in decoded:
            break
        decoded = unquote_to_bytes(decoded)
    return [*found]

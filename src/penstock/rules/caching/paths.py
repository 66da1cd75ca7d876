"""How an app may read the path of a request: what is forbidden for one spelling is forbidden for all of them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .uri_reference import without_dots

# Nothing to decode, to fold or to strip, and no slash at the end.
_PLAIN = re.compile(rb"(?:/[^/%;\\.][^/%;\\]*)+")
_PARAMETERS = re.compile(rb";[^/]*")
_SLASHES = re.compile(rb"//+")
_MOST_ROUNDS = 3
"""An app behind a server that decodes may decode once more; nobody has been seen to do it more often."""


def readings(path: bytes) -> list[bytes]:
    """The paths that servers and frameworks are known to make of `path`, the raw one first.

    Percent-decoded, once and again; backslashes as slashes; without empty and dot segments (RFC 3986, 5.2.4, and with
    slashes merged before); without the parameters of segments (`;v=1`); without a slash at the end.
    """
    if _PLAIN.fullmatch(path):
        return [path]
    found = {path: None}
    decoded = path
    for _ in range(_MOST_ROUNDS + 1):
        slashed = decoded.replace(b"\\", b"/")
        found[decoded] = None
        for form in (slashed, _PARAMETERS.sub(b"", slashed)):
            found[without_dots(form)] = None
            merged = without_dots(_SLASHES.sub(b"/", form))
            found[merged] = found[merged.rstrip(b"/") or b"/"] = None
        if b"%" not in decoded:
            break
        decoded = unquote_to_bytes(decoded)
    return [*found]

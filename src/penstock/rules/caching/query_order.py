"""The parameters of a query in one order, so that the same ones in another order are the same URL."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_HIDDEN = re.compile(rb"[;?#]")


def sort_parameters(target: bytes) -> bytes:
    """The target with the parameters of its query sorted by name; the bytes of each stay as they are.

    Those whose names an app may take for the same, however they are written, keep their order: the last may win there,
    or all may be a list. A query with `;`, `?` or `#` in it stays as it is, since an app that splits there would see
    others.
    """
    path, mark, query = target.partition(b"?")
    if b"&" not in query or _HIDDEN.search(query):
        return target
    parameters: list[bytes] = query.split(b"&")
    parameters.sort(key=_name)
    return path + mark + b"&".join(parameters)


def _name(parameter: bytes) -> bytes:
    return unquote_to_bytes(parameter.partition(b"=")[0].replace(b"+", b" ")).lower()

"""What of a URL or a body tells one run from another: all of it but the keys, so that it goes on with a new one."""

from __future__ import annotations

import re

from ...rules.secrets.names import HIDDEN
from ...rules.secrets.places import in_body, in_url

_REFERENCE = re.compile(r"\$\{\w+\}")
_FIELD = re.compile(r"\{\w[^{}\n]*\}")
_LEAST = 8


def comparable_url(url: str) -> str:
    """`url` without the values of parameters that are secrets by their names."""
    return in_url(url, _without, by_looks=False)


def comparable_body(body: str) -> str:
    """`body` without the values of members and parameters that are secrets by their names."""
    return in_body(body, _without, by_looks=False)


def _without(name: str, value: str) -> str:
    fields = _FIELD.findall(_REFERENCE.sub("", value))
    looks_like_a_key = len(value) >= _LEAST and any(letter.isdigit() for letter in value)
    if not fields and not looks_like_a_key and not _REFERENCE.search(value):
        # `?key=orders` may well say which rows are meant: another word there is another run.
        return value
    return HIDDEN + "".join(fields)

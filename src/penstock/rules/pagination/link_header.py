"""The Link header (RFC 8288): where a page says which page follows."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TARGET = re.compile(r"\s*,*\s*<([^>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;,"]*)))?"""
)


def parse_links(values: Iterable[str]) -> dict[str, str]:
    """Relation type (lower case) -> target, of all Link fields of an answer; of two with the same type the first.

    Anything malformed ends the reading of its field: a guess at a URL could lead anywhere. Single quotes are no quotes
    in the RFC, but what is meant by them is clear.
    """
    links: dict[str, str] = {}
    for value in values:
        for target, parameters in _links(value):
            # Only the first `rel` of a link counts (RFC 8288, 3.3).
            for relation in parameters.get("rel", "").lower().split():
                links.setdefault(relation, target)
    return links


def _links(value: str) -> Iterable[tuple[str, dict[str, str]]]:
    position = 0
    while match := _TARGET.match(value, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(value, position):
            position = parameter.end()
            quoted = parameter[2]
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3] or parameter[4] or ""
            parameters.setdefault(parameter[1].lower(), text)
        yield match[1], parameters
        comma = re.compile(r"\s*(,|$)").match(value, position)
        if comma is None:
            return
        position = comma.start()

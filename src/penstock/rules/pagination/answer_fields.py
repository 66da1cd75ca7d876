"""What stands in an answer beside its rows, and in its header fields: names, values, and where they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .content_range import complete_length
from .find_rows import quoted
from .style import HEADER

_DEEPEST = 4
_NO_LETTER = re.compile(r"[^a-z0-9]")
_HEADERS = re.compile(r"total|page|next|continuation|cursor|content-range|has-?more|per-page|marker|offset|limit")


def plain(name: str) -> str:
    """A name without what APIs differ in: case, dashes, underscores, dots, brackets, and the `X-` of header fields."""
    return _NO_LETTER.sub("", name.lower().removeprefix("x-"))


@dataclass(frozen=True, slots=True)
class Seen:
    """One scalar in an answer, outside of its rows. `path` finds it again; `plain` is its name as `plain` has it."""

    path: str
    name: str
    value: Any

    @property
    def plain(self) -> str:
        """The name, to compare."""
        return plain(self.name)

    @property
    def whole(self) -> str:
        """The path, to compare."""
        return plain(self.path)

    @property
    def number(self) -> int | None:
        """The value as a whole number of at least 0; None where it is none. A header field is text."""
        if isinstance(self.value, str) and self.in_header:
            return _number_in_field(self.plain, self.value.strip())
        is_number = isinstance(self.value, int) and not isinstance(self.value, bool) and self.value >= 0
        return self.value if is_number else None

    @property
    def in_header(self) -> bool:
        """Whether it is a header field."""
        return self.path.startswith(HEADER)

    @property
    def is_url(self) -> bool:
        """Whether it looks like one, absolute or relative."""
        return isinstance(self.value, str) and self.value.startswith(("http://", "https://", "/", "?"))

    @property
    def is_token(self) -> bool:
        """Whether it could be one: text or a number, and no URL."""
        is_text = isinstance(self.value, str) and self.value != "" and not self.is_url
        return is_text or (isinstance(self.value, (int, float)) and not isinstance(self.value, bool))


def seen_in(answer: Any, headers: Mapping[str, str]) -> list[Seen]:
    """All scalars of the body, the highest first, then the header fields that may speak of pages."""
    body = sorted(_scalars(answer, "", 1), key=lambda each: each.path.count("."))
    fields = [Seen(f"{HEADER}{name}", name, value) for name, value in headers.items() if _HEADERS.search(name)]
    return [*body, *fields]


def first_of(seen: Iterable[Seen], names: Iterable[str]) -> Seen | None:
    """The first with the first of these plain names that there is."""
    known: dict[str, Seen] = {}
    for each in seen:
        known.setdefault(each.plain, each)
    return next((known[name] for name in names if name in known), None)


def _number_in_field(name: str, value: str) -> int | None:
    if name == "contentrange":
        try:
            return complete_length(value)
        except ValueError:
            return None
    return int(value) if value.isdecimal() and value.isascii() else None


def _scalars(value: Any, path: str, depth: int) -> Iterator[Seen]:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    for name, inner in value.items():
        step = f"{path}.{quoted(name)}" if path else quoted(name)
        if isinstance(inner, dict):
            yield from _scalars(inner, step, depth + 1)
        elif isinstance(inner, list):
            yield from _in_link_list(inner, step)
        else:
            yield Seen(step, name, inner)


def _in_link_list(links: list[Any], path: str) -> Iterator[Seen]:
    """The next of a list of links that say what they relate to: `[{"rel": "next", "href": ...}]`."""
    for link in links[:20]:
        if not isinstance(link, dict):
            return
        for relation in ("rel", "relation"):
            if link.get(relation) == "next":
                target = next((name for name in ("href", "url", "uri") if isinstance(link.get(name), str)), None)
                if target is not None:
                    yield Seen(f"{path}[?{relation}=='next'].{target} | [0]", "next", link[target])

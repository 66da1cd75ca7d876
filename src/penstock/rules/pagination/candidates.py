"""Ways in which an API may page, to judge by the names in its first answer and in the user's URL; the best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .answer_fields import Seen, first_of, plain
from .names import FROM_ROWS, LAST_ROWS, LINKS, OFFSET_WITH, OFFSETS, PAGES, ROW_IDS, SIZE_OF, SIZES, TOKENS
from .style import Paging


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an API beside how it pages: `rows`, `total`, `pages` and `more` are places in its answers.

    `listed` are the rows of the first answer, `count` how many they are, `promised` its total. `whole`: all rows are
    in it; `lacks`: there are others, by its own word.
    """

    rows: str
    listed: list[Any]
    count: int
    total: str | None
    pages: str | None
    more: str | None
    whole: bool
    lacks: bool
    promised: int | None

    @property
    def row_id(self) -> str | None:
        """Where the id of the last row is; None where not all rows have one."""
        names = (name for name in ROW_IDS if all(isinstance(row, dict) and name in row for row in self.listed))
        field = next(names, None) if self.listed else None
        return None if field is None else f"{'' if self.rows == '@' else self.rows}[-1].{field}"

    def complete(self, paging: Paging, asked: Paging) -> Paging:
        """`paging` with all that is known besides."""
        is_counted = paging.style in ("offset", "page")
        return replace(
            paging,
            rows=self.rows,
            total=self.total,
            total_pages=self.pages if is_counted and self.total is None else None,
            more=self.more,
            page_size=asked.page_size,
            size_param=asked.size_param or paging.size_param,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to page. `named`: something says so. `first_known`: it is known what the first page is called."""

    paging: Paging
    sign: str
    named: bool = True
    first_known: bool = True

    @property
    def counted(self) -> bool:
        """Whether its pages have numbers."""
        return self.paging.style in ("offset", "page")


def with_url(seen: list[Seen], facts: Facts) -> tuple[Paging, str] | None:
    """The place with the URL of the next page; absolute ones before relative ones."""
    urls = [each for each in seen if each.is_url and _names_next(each)]
    urls.sort(key=lambda each: (not str(each.value).startswith("http"), _rank(each)))
    return (Paging("next-url", next=urls[0].path), f"the next page's URL at {urls[0].path!r}") if urls else None


def _names_next(each: Seen) -> bool:
    if "next" in each.whole:
        return True
    return each.plain.startswith("more") and each.plain.endswith(("url", "link"))


def _rank(each: Seen) -> int:
    return LINKS.index(each.plain) if each.plain in LINKS else len(LINKS)


def candidates(seen: list[Seen], facts: Facts, names_in_url: Sequence[str], asked: Paging) -> list[Candidate]:
    """All ways worth a try, without two that are the same."""
    size_param = asked.size_param or _size_param(seen, names_in_url, facts.count)
    found: dict[Paging, Candidate] = {}
    for each in _all(seen, facts, names_in_url):
        size = size_param
        if each.paging.offset_param in SIZE_OF and not any(plain(name) in SIZES for name in names_in_url):
            size = asked.size_param or SIZE_OF[each.paging.offset_param]
        paging = facts.complete(replace(each.paging, size_param=size), asked)
        found.setdefault(paging, replace(each, paging=paging))
    return list(found.values())


def _all(seen: list[Seen], facts: Facts, names_in_url: Sequence[str]) -> Iterator[Candidate]:
    counted = list(_counted(seen, names_in_url))
    tokens = list(_tokens(seen, facts, names_in_url))
    # Numbers that name a next page are worth less than numbers of pages, of which many can be asked for at once.
    yield from (each for number, each in tokens if not number)
    yield from counted
    yield from _from_rows(facts, names_in_url)
    yield from (each for number, each in tokens if number)
    if facts.pages is not None:
        yield Candidate(Paging("page", page_param="page"), "it takes page", first_known=False)
    yield from _blind(facts, names_in_url)


def _tokens(seen: list[Seen], facts: Facts, names_in_url: Sequence[str]) -> Iterator[tuple[bool, Candidate]]:
    """With each whether its token is a number."""
    usable = [each for each in seen if each.is_token and each.value != 0]
    known = [(first_of(usable, [name]), parameters) for name, parameters in TOKENS.items()]
    for each, parameters in [*known, *_by_their_place(usable)]:
        if each is None or (each.plain == "lastid" and facts.more is None):
            continue
        number = each.number
        if number is not None and each.plain in ("offset", "continue"):
            continue
        if number is not None and number == facts.count and each.plain in ("next", "nextpage"):
            parameters = ("offset", "skip", "start")
        elif number == 2 and each.plain == "next":
            parameters = ("page", "_page", "*")
        spelt = [_spelt(parameter, each) for parameter in parameters]
        mine = [one for one in names_in_url if plain(one) in set(map(plain, spelt))]
        for parameter in dict.fromkeys([*mine, *spelt]):
            paging = Paging("cursor", next=each.path, cursor_param=parameter)
            yield number is not None, Candidate(paging, f"a token of the next page at {each.path!r}")


def _by_their_place(usable: list[Seen]) -> Iterator[tuple[Seen, tuple[str, ...]]]:
    """Tokens whose names are not usual, but which are called next, lie in something called so, or are cursors."""
    for each in usable:
        parent = plain(each.path.rpartition(".")[0])
        if each.plain in TOKENS or any(word in each.whole for word in ("prev", "before", "startcursor", "self")):
            continue
        if each.plain.startswith("next"):
            yield each, ("=", "*")
        elif "next" in parent or parent == "continue":
            yield each, ("*",)
        elif "cursor" in each.plain:
            yield each, ("*", "cursor")


def _spelt(parameter: str, each: Seen) -> str:
    """`*` is the name as it is, `=` the name without `next`."""
    name = each.name[2:] if each.in_header and each.name.startswith("x-") else each.name
    if parameter not in ("*", "="):
        return parameter
    if parameter == "*" or not name.lower().startswith("next"):
        return name
    rest = name[len("next") :].lstrip("_-")
    return rest if name[0].isupper() or "_" in name or "-" in name else rest[:1].lower() + rest[1:]


def _counted(seen: list[Seen], names_in_url: Sequence[str]) -> Iterator[Candidate]:
    """By a parameter of the user's URL, or a number in the answer."""
    numbers = [each for each in seen if each.number is not None]
    for names, style in ((OFFSETS, "offset"), (PAGES, "page"), (("from",), "offset")):
        for name in names:
            mine = next((one for one in names_in_url if plain(one) == name), None)
            told = first_of(numbers, [name])
            if mine is None and told is None:
                continue
            parameter, sign = mine or _parameter(told, style), f"a parameter or field {mine or (told and told.name)!r}"
            if style == "offset":
                is_first = told is not None and told.number == 1
                yield Candidate(Paging("offset", offset_param=parameter, first_row=1 if is_first else None), sign)
                continue
            known = told is not None
            start = "0" if told is not None and told.number == 0 else None
            nested = ["page[number]"] if told is not None and told.whole.endswith("pagenumber") else []
            others = [] if mine else [parameter[:1].lower() + parameter[1:], "page", *nested]
            for one in dict.fromkeys([parameter, *others]):
                yield Candidate(Paging("page", page_param=one, start=start), sign, first_known=known)


def _parameter(told: Seen | None, style: str) -> str:
    """What a field that holds a number is called as a parameter."""
    name = "" if told is None else told.name
    is_plain = (
        told is not None and not told.in_header and not told.plain.startswith("current") and told.plain != "number"
    )
    return name if is_plain or style == "offset" else "page"


def _from_rows(facts: Facts, names_in_url: Sequence[str]) -> Iterator[Candidate]:
    """The id of the last row, where the answer has a flag for more and nothing else, or the user's URL names it."""
    if facts.row_id is None:
        return
    mine = [name for name in names_in_url if plain(name) in FROM_ROWS]
    for parameter in [*mine, *(LAST_ROWS[:1] if facts.more is not None else ())]:
        yield Candidate(
            Paging("cursor", next=facts.row_id, cursor_param=parameter),
            f"the {facts.row_id.rpartition('.')[2]} of the last row as {parameter}",
            named=bool(mine),
        )


def _blind(facts: Facts, names_in_url: Sequence[str]) -> Iterator[Candidate]:
    """What is usual, where nothing is named."""
    hinted = next((OFFSET_WITH[name] for name in names_in_url if name in OFFSET_WITH), None)
    first = hinted or ("$offset" if facts.count == 1000 else "offset")
    for parameter in dict.fromkeys([first, "offset"]):
        yield Candidate(Paging("offset", offset_param=parameter), f"it takes {parameter}", named=parameter == hinted)
    yield Candidate(Paging("page", page_param="page"), "it takes page", named=False, first_known=False)
    yield Candidate(Paging("offset", offset_param="$offset"), "it takes $offset", named=False)


def _size_param(seen: list[Seen], names_in_url: Sequence[str], count: int) -> str | None:
    """The parameter for the number of rows: one of the user's URL, or a field that may hold it."""
    mine = next((name for name in names_in_url if plain(name) in SIZES), None)
    fields = [each for each in seen if (each.number or 0) >= max(1, count) and not each.in_header]
    told = first_of(fields, [name for name in SIZES if name != "count"])
    return mine or (None if told is None else told.name)

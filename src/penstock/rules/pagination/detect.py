"""What the first answer of an API shows of its paging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import UsageError
from .answer_fields import Seen, first_of, seen_in
from .candidates import Candidate, Facts, candidates, with_url
from .extent import is_page_size
from .find_rows import find_rows, steps_of
from .names import LAST, LINKS, MORE, PAGE_COUNTS, TOKENS, TOTALS, UNSURE_TOTALS
from .style import HEADER, Paging


@dataclass(frozen=True, slots=True)
class DetectedPaging:
    """How an API pages, as its first answer shows, and what in it shows that.

    Where there are `candidates`, each is a guess that a second page can prove, and `doubt` says what was seen for the
    case that none is. `paging` is then the best of them, or what can be suggested, and nothing to act upon.
    """

    paging: Paging
    signs: tuple[str, ...] = ()
    doubt: str = ""
    candidates: tuple[Candidate, ...] = ()
    lacks: bool = False
    """Whether there are rows beyond the first answer, by its own word."""
    not_paged: bool = False
    """Whether all rows may be here if nothing proves a candidate: their number is no usual page."""
    suggestion: Paging = Paging()  # noqa: RUF009  # it is frozen
    """What the user may mean, if nothing proves a candidate."""
    hint: str = ""
    """When the user may mean it, as the beginning of a sentence."""
    by_hand: Paging = Paging()  # noqa: RUF009
    """What the user may mean, if that is disproved, too: only a reader of the API's documents can tell."""

    def advice(self, disproved: Sequence[Paging]) -> tuple[Paging, str]:
        """What to suggest after the guesses of `disproved`, and when it is meant."""
        tried = {each.offset_param or "offset" for each in disproved if each.style == "offset"}
        if self.suggestion.style != "offset" or (self.suggestion.offset_param or "offset") not in tried:
            return self.suggestion, self.hint
        return self.by_hand, (
            "If these rows are all there is, add --paginate link --max-pages 1. If what names the next page is a token "
            "or the last row, give the NAME of its parameter and say with --next where it is"
        )


def detect(
    answer: Any,
    headers: Mapping[str, str],
    next_link: str | None,
    names_in_url: Sequence[str],
    asked: Paging,
    *,
    count: int | None = None,
) -> DetectedPaging:
    """Work out the paging of an API from its first answer.

    `headers` in lower case; `next_link` is the Link header's rel=next; `names_in_url` are the query parameters that the
    user gave; `count` the rows in the answer, None where they are to be found. What `asked` says is not questioned.
    Raises UsageError where even the rows are not to be found.
    """
    rows = _rows(answer, asked)
    count = _count(answer, rows) if count is None else count
    seen = seen_in(answer, headers)
    facts = _facts(answer, headers, seen, rows, count, asked)
    signs = list(_signs(facts, asked))
    listed = candidates(seen, facts, names_in_url, asked)
    sure = (
        _by_link(next_link, facts)
        or with_url(seen, facts)
        or _by_no_next(seen, facts, counted=any(each.counted and each.named for each in listed))
    )
    if sure is None and facts.whole:
        named = [each for each in listed if each.named]
        sure = (named[0].paging, named[0].sign) if named else (Paging("link"), "all rows in the first answer")
    if sure is not None:
        return DetectedPaging(facts.complete(sure[0], asked), (*signs, sure[1]))
    suggestion, doubt, hint = _unclear(seen, signs, facts, asked)
    by_hand = Paging("cursor", next=facts.row_id or "NEXT", cursor_param="NAME")
    is_named = bool(listed) and listed[0].named and suggestion.cursor_param is None
    return DetectedPaging(
        listed[0].paging if is_named else suggestion,
        tuple(signs),
        doubt,
        tuple(listed),
        lacks=facts.lacks,
        not_paged=not is_page_size(count),
        suggestion=suggestion,
        hint=hint,
        by_hand=facts.complete(by_hand, asked),
    )


def _signs(facts: Facts, asked: Paging) -> Iterator[str]:
    listed = f"a list of {facts.count:,} rows"
    yield listed if facts.rows == "@" else f"rows at {facts.rows!r} ({facts.count:,} in the first page)"
    if facts.total:
        yield f"a total at {facts.total!r}"
    elif facts.pages:
        yield f"its number of pages at {facts.pages!r}"
    if facts.more and asked.more is None:
        yield f"whether there are more at {facts.more!r}"


def next_like(answer: Any) -> list[str]:
    """Where in an answer a next page may be named, to judge by names: at most three JMESPath expressions."""
    names = {*LINKS[:-3], *TOKENS} - {"offset", "lastid"}
    seen = [each for each in seen_in(answer, {}) if each.plain in names or (each.is_url and "next" in each.whole)]
    return [each.path for each in seen if each.is_token or each.is_url][:3]


def _rows(answer: Any, asked: Paging) -> str:
    if asked.rows is not None:
        return asked.rows
    paths = find_rows(answer)
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise UsageError(
            "there is no list in the answer; say with --rows where the rows are, or --rows '[@]' if it is the one row"
        )
    raise UsageError(f"there are lists at {', '.join(paths)}; say with --rows which of them holds the rows")


def _list_at(answer: Any, rows: str) -> list[Any]:
    """The rows of the answer, for a path that `find_rows` made; none for others, which are the user's own."""
    value = answer
    for step in [] if rows == "@" else steps_of(rows):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []


def _count(answer: Any, rows: str) -> int:
    return len(_list_at(answer, rows))


def _facts(answer: Any, headers: Mapping[str, str], seen: list[Seen], rows: str, count: int, asked: Paging) -> Facts:
    total = asked.total or _total(seen, count)
    promised = _promised(seen, headers, total)
    pages = asked.total_pages or next((each.path for each in _page_counts(seen)), None)
    told = next((each.number for each in _page_counts(seen) if each.path == pages), None)
    flag = _flag(seen)
    promises = (promised or 0) > count > 0 or (told or 0) > 1
    if flag is not None and not flag[1] and promises:
        # It speaks of something else, of the query or a job: on the first page of many it would end the pull.
        flag = None
    more, says = (flag[0], flag[1]) if asked.more is None and flag else (asked.more, None)
    sure = asked.total is not None or (total or "").lower() == f"{HEADER}content-range"
    whole = says is False or told == 1 or (promised == count and (sure or not is_page_size(count)))
    lacks = says is True or promises
    whole = not lacks and (whole or (count == 0 and not promised))
    return Facts(rows, _list_at(answer, rows), count, total, pages, more, whole=whole, lacks=lacks, promised=promised)


def _total(seen: list[Seen], count: int) -> str | None:
    for name in TOTALS:
        for each in seen:
            is_it = each.plain == name or (name == "total" and each.whole.endswith("totalvalue"))
            if not is_it or each.number is None:
                continue
            # A count that equals the rows of this page is as often the count of this page as it is the total.
            if each.number > count or (each.number == count and name not in UNSURE_TOTALS):
                return each.path
    return None


def _promised(seen: list[Seen], headers: Mapping[str, str], total: str | None) -> int | None:
    """What the answer says at `total`, where that is a place that can be looked at here."""
    path = total
    if total is not None and total.startswith(HEADER):
        path = HEADER + total[len(HEADER) :].strip().lower()
        field = path[len(HEADER) :]
        return Seen(path, field, headers.get(field, "")).number
    return next((each.number for each in seen if each.path == path), None)


def _page_counts(seen: list[Seen]) -> list[Seen]:
    return [each for name in PAGE_COUNTS for each in seen if each.plain == name and each.number]


def _flag(seen: list[Seen]) -> tuple[str, bool] | None:
    """Where the answer says whether there is more, as an expression, and what it says."""
    flags = [each for each in seen if isinstance(each.value, bool)]
    flags += [each for each in seen if each.in_header and each.value.lower() in ("true", "false")]
    yes, no = first_of(flags, MORE), first_of([each for each in flags if not each.in_header], LAST)
    if yes is not None:
        return yes.path, yes.value is True or yes.value == "true"
    return None if no is None else (f"!{no.path}", not no.value)


def _by_link(next_link: str | None, facts: Facts) -> tuple[Paging, str] | None:
    return None if next_link is None else (Paging("link"), "a Link header with rel=next")


def _by_no_next(seen: list[Seen], facts: Facts, *, counted: bool) -> tuple[Paging, str] | None:
    """There is a place for a successor, and none is named: this page is all there is, unless more is promised.

    `counted`: the answer has the number of its page. A null at `after` or `cursor` is something else then.
    """
    if facts.lacks:
        return None
    for each in seen:
        if each.value not in (None, "") or each.plain not in {*LINKS[:-3], *TOKENS} - {"offset", "lastid"}:
            continue
        if "next" in each.whole or not counted or facts.whole:
            return Paging("next-url", next=each.path), f"no next page at {each.path!r}"
    return None


def _unclear(seen: list[Seen], signs: list[str], facts: Facts, asked: Paging) -> tuple[Paging, str, str]:
    names = ", ".join(each.path for each in seen[:12] if not each.in_header)
    token = next((each for each in seen if each.plain == "next" and each.is_token), None)
    size = asked.page_size or facts.count or None
    if token is not None:
        paging = facts.complete(Paging("cursor", next=token.path, cursor_param="NAME"), asked)
        hint = f"If {token.path!r} is the next page's token, give the NAME of its parameter"
    elif facts.promised == facts.count:
        # What counts the rows of this page is no total.
        paging = replace(facts.complete(Paging("offset"), asked), total=None)
        hint = (
            f"All {facts.count:,} rows that it promises are here, but that may be a page of many; if not, --paginate "
            f"link --total {facts.total}. If it takes offset and limit (or else --paginate page)"
        )
    else:
        paging, hint = facts.complete(Paging("offset"), asked), "If it takes offset and limit (or else --paginate page)"
    doubt = (
        f"cannot tell how this API pages. Seen: {'; '.join(signs)}; no Link header with rel=next; "
        f"{f'fields {names}' if names else 'no other fields'}"
    )
    return replace(paging, page_size=size), doubt, hint

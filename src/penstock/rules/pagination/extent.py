"""Which pages of an API to ask for, and when all of them have been seen.

Two kinds. *Countable* pages have numbers that can be worked out (offset, page number), so many are asked for at once
and the end is found by looking a little beyond it. *Chained* pages name their successor (cursor, next URL, Link), so
they come one after the other and the end is the page that names none.

Neither believes what an API says of itself: totals lie in both directions, a page in the middle may be empty, pages
beyond the end may repeat the last one, cursors run in circles.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from ...errors import UsageError

LOOK_BEYOND = 3
"""Pages in a row without new rows that are the end where no total is known: a hole of two does not end a pull."""

ENOUGH_EMPTY = 20
"""The same among the pages that a total promised. It is more, because the promise says that rows should be there."""

ENOUGH_FAILED = 8
"""Pages in a row that failed beyond the last good one, where no total is known: going on would never end."""

FEW_AHEAD = 2
"""Pages beyond the last one with rows that are asked for at most in a pull of few pages, where no total is known."""

MANY_PAGES = 8
"""In a pull of more than so many, as many are asked for ahead as have come."""

MOST_AHEAD = 1000
"""Pages beyond the last one with rows that are asked for at most, where no total is known."""

MOST_EMPTY_CHAINED = 100
"""Empty pages in a row, each naming another successor; beyond it a chain is taken to be endless."""

EMPTY_WITHOUT_A_WORD = 3
"""More empty pages of a chain in a row than that are told."""


class PageKind(enum.IntEnum):
    """What a page turned out to be. The numbers are kept on disk."""

    ROWS = 0
    """It holds rows that were not seen before."""
    EMPTY = 1
    """It holds none."""
    REPEAT = 2
    """It holds the very rows of an earlier page."""
    LAST = 3
    """It holds rows, and by its length or status it is known to be the last."""
    GONE = 4
    """The API says that there is no such page (--stop-on STATUS)."""
    FAILED = 5
    """It could not be had."""
    MOVED = 6
    """What came as this page are the rows of an earlier one, so this one is not settled after all."""
    FINAL = 7
    """It holds rows, and says that no page follows it (--more)."""


WITH_NEW_ROWS = frozenset({PageKind.ROWS, PageKind.LAST, PageKind.FINAL})


@dataclass(frozen=True, slots=True)
class StopOn:
    """What besides a total tells that there are no more pages, and besides pages without rows.

    `short`: a page with fewer rows than the first one. `statuses`: what the API answers beyond the last page.
    """

    short: bool = False
    statuses: frozenset[int] = frozenset()

    EMPTY: ClassVar[StopOn]
    SHORT: ClassVar[StopOn]
    NOT_FOUND: ClassVar[StopOn]

    @classmethod
    def read(cls, words: StopOn | str | int | Iterable[str | int]) -> StopOn:
        """What the words `empty`, `short` and statuses such as 404 say. Raises UsageError for another one."""
        if isinstance(words, StopOn):
            return words
        listed = [words] if isinstance(words, (str, int)) else list(words)
        statuses = {int(word) for word in listed if str(word).isdecimal() and 300 <= int(word) <= 599}
        for word in listed:
            if word not in ("empty", "short") and str(word) not in map(str, statuses):
                raise UsageError(f"--stop-on {word!r} is none of empty, short and a status such as 404")
        return cls("short" in listed, frozenset(statuses))


StopOn.EMPTY = StopOn()
StopOn.SHORT = StopOn(short=True)
StopOn.NOT_FOUND = StopOn(statuses=frozenset({404}))


class End(enum.Enum):
    """Why a pull came to its end."""

    TOTAL = "every promised page was seen"
    BARREN = "no new rows came any more"
    LAST = "a page said that it is the last"
    FAILURES = "every page beyond the last good one failed"
    MOST_PAGES = "--max-pages was reached"


@dataclass(slots=True)
class _Run:
    """The unbroken line of settled pages from 0 on, and how it ends."""

    floor: int = 0
    """Every page below is settled."""
    barren: int = 0
    """How many of the last of them brought no new rows."""
    failed: int = 0
    """How many of the last of them failed."""
    fresh_below: int = 0
    """The last of them that brought new rows lies just below."""


class Countable:
    """What is known of pages 0, 1, 2, ... of a countable API. Feed it with `settle`, ask it with `take`.

    `size` is the rows of a full page, as the first one showed; `total` the rows that the API promised last and
    `told_pages` its pages, less what lies before the start. `most_pages` bounds the number of pages.
    """

    def __init__(self, *, stop_on: StopOn = StopOn.EMPTY, most_pages: int | None = None) -> None:
        self.size: int | None = None
        self.total: int | None = None
        self.told_pages: int | None = None
        self.end: End | None = None
        self.with_rows = 0
        """Pages that brought new rows."""
        self.tells_more = False
        """Whether pages say of themselves that others follow them, so that little need be asked for in vain."""
        self._stop_on = stop_on
        self._most_pages = math.inf if most_pages is None else most_pages
        self._next = 0
        self._run = _Run()
        self._ahead: dict[int, PageKind] = {}
        self._last = -1
        self._last_rows = 0
        self._short = 0
        self._stop_at: int | None = None

    # -- what happened ----------------------------------------------------------------------------------------------

    def settle(self, page: int, kind: PageKind, rows: int = 0) -> None:
        """`page` turned out to be of `kind`, with so many `rows`. Pages settle in any order; the first word counts."""
        if page < self._run.floor or page in self._ahead:
            return
        if kind in WITH_NEW_ROWS:
            if self.size is None and page == 0:
                self.size = rows
            self.with_rows += 1
            self._short += self.size is not None and rows < self.size
            if page > self._last:
                self._last, self._last_rows = page, rows
        if kind in (PageKind.LAST, PageKind.FINAL, PageKind.GONE):
            # Nothing beyond it is asked for any more; what is below still comes.
            self._stop_at = page if self._stop_at is None else min(self._stop_at, page)
        if self._stop_at is not None and self._last > self._stop_at:
            # Rows beyond what was taken for the last page: it was not.
            self._stop_at = None
        self._ahead[page] = kind
        run = self._run
        while run.floor in self._ahead:
            self._pass(self._ahead.pop(run.floor))
        self.end = self._find_end()

    def move(self, page: int, to: int, rows: int) -> None:
        """The rows that came as `page` belong to the earlier page `to`, which holds the same: `page` is a REPEAT of it.

        Pages beyond the end that repeat the last one may arrive before it. `to` is settled by this; nothing above it
        has been passed, so `page` can still be judged anew.
        """
        self._ahead[page] = PageKind.REPEAT
        self.with_rows -= 1
        self._short += 1
        if self._last == page:
            fresh = [each for each, kind in self._ahead.items() if kind in WITH_NEW_ROWS]
            self._last, self._last_rows = max(fresh, default=self._run.fresh_below - 1), self.size or 0
        self.settle(to, self.kind_of(to, rows), rows)

    def kind_of(self, page: int, rows: int, *, more: bool | None = None) -> PageKind:
        """Whether a page of `rows` new rows is one among many, or the last. `more` is what it says of that itself."""
        promised = self.promised_pages
        if rows == 0:
            return PageKind.EMPTY
        if promised is not None and page < promised - 1:
            return PageKind.ROWS
        if more is False:
            return PageKind.FINAL
        # The first page is what the others are measured by: of an API that caps the page size none is short.
        is_short = page > 0 and self.size is not None and rows < self.size
        return PageKind.LAST if is_short and self._stop_on.short else PageKind.ROWS

    def _pass(self, kind: PageKind) -> None:
        run = self._run
        run.floor += 1
        if kind in (PageKind.EMPTY, PageKind.REPEAT, PageKind.GONE):
            run.barren += 1
            run.failed = 0
        elif kind is PageKind.FAILED:
            run.failed += 1
        else:
            run.barren = run.failed = 0
            run.fresh_below = run.floor

    # -- what to do -------------------------------------------------------------------------------------------------

    @property
    def promised_pages(self) -> int | None:
        """How many pages the total makes, or the API counted itself; None where neither is known."""
        if self.total is None or not self.size:
            return self.told_pages
        return max(1, math.ceil(self.total / self.size))

    @property
    def floor(self) -> int:
        """Every page below this one is settled."""
        return self._run.floor

    @property
    def fresh_below(self) -> int:
        """What lies below this page lies before one with new rows, so it is not beyond the end."""
        return self._run.fresh_below

    @property
    def beyond_promise(self) -> bool:
        """Whether there are rows on pages that the total did not promise."""
        promised = self.promised_pages
        return promised is not None and self._last >= promised

    def is_beyond(self, page: int) -> bool:
        """Whether nothing need be on `page`: it was not promised, and no rows speak against the promise."""
        promised = self.promised_pages
        return promised is not None and page >= promised and not self.beyond_promise

    def take(self, most: int) -> list[int]:
        """Up to `most` pages to ask for now, the lowest first; each is handed out once, and what is settled never."""
        pages: list[int] = []
        limit = self._limit()
        while self._next < limit and len(pages) < most:
            if self._next >= self._run.floor and self._next not in self._ahead:
                pages.append(self._next)
            self._next += 1
        return pages

    def _limit(self) -> float:
        """Pages from this one on are not asked for now."""
        if self.end is not None:
            return 0
        if self._run.floor == 0 and self.size is None:
            # Everything else is measured by the first page.
            return min(1, self._most_pages)
        promised = self.promised_pages
        is_short = self.with_rows <= MANY_PAGES or self.tells_more
        ahead = 1 if self._seems_last else FEW_AHEAD if is_short else min(MOST_AHEAD, self.with_rows)
        if promised is None or self.beyond_promise:
            # One further than what is settled, where failures keep it from being clear what that means.
            limit = float(max(self._last + 1 + ahead, (promised or 0) + ahead, self._run.floor + 1))
        else:
            # A last page that will be full says nothing of what lies beyond it, so that is asked for with the others.
            limit = promised + (self._run.floor >= promised or self.total == promised * (self.size or 1))
        if self._stop_at is not None:
            limit = min(limit, self._stop_at)
        return min(limit, self._most_pages)

    def _find_end(self) -> End | None:
        run = self._run
        if self._stop_at is not None and run.floor > self._stop_at:
            return End.LAST
        if run.floor == 0:
            return None
        return self._end_by_pages() or (End.MOST_PAGES if run.floor >= self._most_pages else None)

    def _end_by_pages(self) -> End | None:
        run, promised = self._run, self.promised_pages
        if self.total == 0 and self.with_rows == 0:
            return End.TOTAL
        if promised is None or self.beyond_promise:
            if run.barren >= (1 if self._seems_last else LOOK_BEYOND):
                return End.BARREN
            return End.FAILURES if run.failed >= ENOUGH_FAILED else None
        if run.floor >= promised and (run.floor > promised or self._ends_exactly(promised)):
            return End.TOTAL
        return End.BARREN if run.barren >= ENOUGH_EMPTY else None

    @property
    def _seems_last(self) -> bool:
        """Whether the last page with rows is not full, and all before it are: one more without rows is the end then."""
        return self._short == 1 and self.size is not None and self._last_rows < self.size

    @property
    def stop_at(self) -> int | None:
        """The page that is known to be the last, by what it says or holds; None where there is none."""
        return self._stop_at

    def _ends_exactly(self, promised: int) -> bool:
        """Whether the last promised page is as short as the total says, so that nothing can lie beyond it."""
        if self._last != promised - 1 or self.size is None:
            return False
        left = self._last_rows if self.total is None else self.total - (promised - 1) * self.size
        return self._last_rows == left < self.size


def is_page_size(count: int) -> bool:
    """Whether so many rows may be a full page: people take round numbers, and powers of two."""
    return count > 0 and (count % 5 == 0 or (count >= 8 and count & (count - 1) == 0))


class Step(enum.Enum):
    """What a chain does after a page."""

    GO_ON = "go on"
    END = "end"
    CYCLE = "cycle"
    ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Named:
    """What a page of a chain says of the next one, and what is known of it.

    `more`: what it says of itself (--more), None for nothing. `own`: it names the token that it was asked for with.
    `seen`: the token led somewhere before. `rows`: it has some, `repeat`: which were all there before. `complete`: all
    rows that were promised have come; `promised`: there was a promise.
    """

    token: object
    more: bool | None = None
    own: bool = False
    seen: bool = False
    rows: bool = True
    repeat: bool = False
    promised: bool = False
    complete: bool = False

    @property
    def lacks(self) -> bool:
        """Whether there are rows beyond this page, by the API's own word."""
        return self.more is True or (self.promised and not self.complete)


def next_step(named: Named, *, empty_in_a_row: int) -> Step:
    """What follows a page. `empty_in_a_row` counts the empty pages at the end of the chain so far.

    `""` and `0` are tokens like any other, but nearly all APIs say with `""` that there is no more: it is one where
    they say that there is. A token that stays is a place that the server keeps (a scroll), as long as rows change.
    """
    if named.token is None or named.more is False or (named.token == "" and not named.lacks):
        return Step.END
    if not named.rows and (named.own or named.complete):
        # A page without rows hides none.
        return Step.END
    if named.seen and not (named.own and named.rows and not named.repeat):
        return Step.CYCLE
    return Step.ENDLESS if empty_in_a_row >= MOST_EMPTY_CHAINED else Step.GO_ON

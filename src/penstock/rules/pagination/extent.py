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
from dataclasses import dataclass

LOOK_BEYOND = 3
"""Pages in a row without new rows that are the end where no total is known: a hole of two does not end a pull."""

ENOUGH_EMPTY = 20
"""The same among the pages that a total promised. It is more, because the promise says that rows should be there."""

ENOUGH_FAILED = 8
"""Pages in a row that failed beyond the last good one, where no total is known: going on would never end."""

MOST_AHEAD = 1000
"""Pages beyond the last one with rows that are asked for at most, where no total is known."""

MOST_EMPTY_CHAINED = 1000
"""Empty pages in a row, each naming another successor; beyond it a chain is taken to be endless."""


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
    """The API says that there is no such page (--stop-on 404)."""
    FAILED = 5
    """It could not be had."""
    MOVED = 6
    """What came as this page are the rows of an earlier one, so this one is not settled after all."""


class StopOn(enum.Enum):
    """What besides a total tells that there are no more pages."""

    EMPTY = "empty"
    """Pages without rows."""
    SHORT = "short"
    """Also a page with fewer rows than the first one."""
    NOT_FOUND = "404"
    """Also the status 404."""


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

    `size` is the rows of a full page, as the first one showed; `total` the rows that the API promised last, less what
    lies before the start. `most_pages` bounds the number of pages.
    """

    def __init__(self, *, stop_on: StopOn = StopOn.EMPTY, most_pages: int | None = None) -> None:
        self.size: int | None = None
        self.total: int | None = None
        self.end: End | None = None
        self.with_rows = 0
        """Pages that brought new rows."""
        self._stop_on = stop_on
        self._most_pages = math.inf if most_pages is None else most_pages
        self._next = 0
        self._run = _Run()
        self._ahead: dict[int, PageKind] = {}
        self._last = -1
        self._last_rows = 0
        self._stop_at: int | None = None

    # -- what happened ----------------------------------------------------------------------------------------------

    def settle(self, page: int, kind: PageKind, rows: int = 0) -> None:
        """`page` turned out to be of `kind`, with so many `rows`. Pages settle in any order; the first word counts."""
        if page < self._run.floor or page in self._ahead:
            return
        if kind in (PageKind.ROWS, PageKind.LAST):
            if self.size is None and page == 0:
                self.size = rows
            self.with_rows += 1
            if page > self._last:
                self._last, self._last_rows = page, rows
        if kind in (PageKind.LAST, PageKind.GONE):
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
        if self._last == page:
            fresh = [each for each, kind in self._ahead.items() if kind in (PageKind.ROWS, PageKind.LAST)]
            self._last, self._last_rows = max(fresh, default=self._run.fresh_below - 1), self.size or 0
        self.settle(to, self.kind_of(to, rows), rows)

    def kind_of(self, page: int, rows: int) -> PageKind:
        """Whether a page of `rows` new rows is one among many, or the last."""
        if rows == 0:
            return PageKind.EMPTY
        if self._stop_on is not StopOn.SHORT or page == 0 or self.size is None:
            # The first page is what the others are measured by: of an API that caps the page size none is short.
            return PageKind.ROWS
        promised = self.promised_pages
        is_last = rows < self.size and (promised is None or page >= promised - 1)
        return PageKind.LAST if is_last else PageKind.ROWS

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
        """How many pages the total makes, and None where no total is known."""
        if self.total is None or not self.size:
            return None
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
        ahead = min(MOST_AHEAD, max(LOOK_BEYOND, self.with_rows))
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
            if run.barren >= LOOK_BEYOND:
                return End.BARREN
            return End.FAILURES if run.failed >= ENOUGH_FAILED else None
        if run.floor >= promised and (run.floor > promised or self._ends_exactly(promised)):
            return End.TOTAL
        return End.BARREN if run.barren >= ENOUGH_EMPTY else None

    def _ends_exactly(self, promised: int) -> bool:
        """Whether the last promised page is as short as the total says, so that nothing can lie beyond it."""
        assert self.total is not None
        assert self.size is not None
        left = self.total - (promised - 1) * self.size
        return self._last == promised - 1 and self._last_rows == left < self.size


class Step(enum.Enum):
    """What a chain does after a page."""

    GO_ON = "go on"
    END = "end"
    CYCLE = "cycle"
    ENDLESS = "endless"


def next_step(*, token: object, seen: bool, complete: bool, empty_in_a_row: int) -> Step:
    """What follows a page that names `token` as its successor: None for none.

    `seen`: that token led somewhere before. `complete`: all rows that were promised have come. `empty_in_a_row`
    counts the empty pages at the end of the chain so far. `""` and `0` are tokens like any other, but many APIs say
    with `""` that there is no more, so it is believed where the total agrees.
    """
    if token is None or (token == "" and complete):
        return Step.END
    if seen:
        return Step.CYCLE
    return Step.ENDLESS if empty_in_a_row >= MOST_EMPTY_CHAINED else Step.GO_ON

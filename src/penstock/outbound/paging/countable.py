"""The plan for pages with numbers: many at once, and a look beyond the end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from ...engine.outcome import Outcome
from ...errors import UsageError
from ...rules.hash_set import HashSet
from ...rules.pagination.extent import MOST_AHEAD, WITH_NEW_ROWS, Countable, End, PageKind, StopOn
from .marks import PageMark
from .pages import CountablePaginator, Offset
from .plan import PullTally, Settled, first_failed
from .reader import PageAnswer, PageAsk
from .seams import Seams

_ENDS = {
    PageKind.EMPTY: "is empty, though pages after it are not",
    PageKind.GONE: "is not there, though pages after it are",
    PageKind.LAST: "is not full, though pages after it have rows",
    PageKind.FINAL: "says that it is the last, though pages after it have rows",
}

_REFUSED = re.compile(r"HTTP (4(?!01|03|08|29)\d\d)")
"""Statuses that may say that there is no such page, and not that somebody may not see it, or should wait."""


class _Held:
    """Pages that wait until it is clear what they are, and the bytes of their rows."""

    def __init__(self) -> None:
        self.bytes = 0
        self._pages: dict[int, PageAnswer] = {}

    def add(self, answer: PageAnswer) -> None:
        self._pages[answer.number] = answer
        self.bytes += answer.size

    def take(self, below: float = math.inf) -> list[PageAnswer]:
        """Those below, in order; they wait no longer."""
        taken = [self._pages.pop(page) for page in sorted(self._pages) if page < below]
        self.bytes -= sum(answer.size for answer in taken)
        return taken


class CountablePlan:
    """Pages with numbers, many at once."""

    def __init__(
        self,
        paginator: CountablePaginator,
        base: str,
        *,
        stop_on: StopOn = StopOn.EMPTY,
        most_pages: int | None = None,
        keep_repeats: bool = False,
    ) -> None:
        self.tally = PullTally()
        self.outstanding = 0
        self._paginator = paginator
        self._base = base
        self._keep_repeats = keep_repeats
        self._extent = Countable(stop_on=stop_on, most_pages=most_pages)
        self._digests = HashSet()
        self._first_digest = 0
        self._owners: dict[int, int] = {}
        """Digest -> the lowest page with those rows, of pages that lie above one that is not settled."""
        self._held = _Held()
        self._excused: dict[int, tuple[PageAsk, Outcome[Any, Any]]] = {}
        """Pages that failed beyond the promise. They are nothing as long as no rows lie there."""
        self._ends: dict[int, str] = {}
        """Pages that look like the end, and how; if others with rows come after them they are holes."""
        self._most_owners = 2 * MOST_AHEAD
        self._fresh_below = 0
        self._stop_on = stop_on
        self._most_pages = most_pages
        self._seams = Seams()
        self._ask_first_again = False
        self._first: PageAnswer | None = None
        """The first page, while it is in doubt whether it covers more offsets than it has rows."""

    @property
    def held_bytes(self) -> int:
        """Of pages that came, and wait until it is clear whether they count."""
        return self._held.bytes + (0 if self._first is None else self._first.size)

    @property
    def limited(self) -> bool:
        """Whether it ended because so many pages are enough, and not because there are no more."""
        promised = self._extent.promised_pages
        return self._extent.end is End.MOST_PAGES and (promised is None or self._extent.floor < promised)

    def asks(self) -> list[PageAsk]:
        """As many pages as can be asked for at once, few where the end is not known."""
        extent = self._extent
        if self._ask_first_again:
            self._ask_first_again = False
            self.outstanding += 1
            return [PageAsk(0, self._paginator.page_url(self._base, 0, extent.size))]
        # Where the end is not known, what is read ahead can be in vain; so little is.
        pages = extent.take(1 if extent.promised_pages is None else 16)
        self.outstanding += len(pages)
        return [PageAsk(page, self._paginator.page_url(self._base, page, extent.size)) for page in pages]

    def answered(self, answer: PageAnswer) -> list[Settled]:
        """A page came, in any order. Raises UsageError or PenstockError if going on makes no sense."""
        self.outstanding -= 1
        self.tally.begun = True
        self._note_total(answer)
        if self._is_in_doubt(answer):
            self._extent.size = answer.rows
            self._first_digest = answer.digest
            # Alone it has no second one to be told by, and a later session may ask for that.
            self._ask_first_again = self._most_pages == 1
            self._first = None if self._ask_first_again else answer
            return []
        return self._judge_first(answer) + self._take(answer)

    def _judge_first(self, second: PageAnswer | None) -> list[Settled]:
        """What the first page is, of which that was in doubt: the rows of the second one tell."""
        first = self._first
        if first is None or (second is not None and second.number != 1):
            return []
        self._first = None
        if second is not None and _overlap(first, second):
            self._ask_first_again = True
            return []
        return self._take(first)

    def _take(self, answer: PageAnswer) -> list[Settled]:
        self._look_at_size(answer)
        self._extent.tells_more = self._extent.tells_more or answer.more is not None
        owner = self._owners.get(answer.digest, -1) if answer.rows and not self._keep_repeats else -1
        if owner > answer.number:
            return self._move(owner, answer)
        kind = self._kind(answer)
        self._extent.settle(answer.number, kind, answer.rows)
        if kind in WITH_NEW_ROWS:
            self._own(answer.digest, answer.number)
            self._look_at_seams(answer)
        settled: list[Settled] = []
        if kind is PageKind.REPEAT:
            self._held.add(answer)
        else:
            settled.append((answer, kind))
            self.tally.count(settled)
        return settled + self._decide()

    def _move(self, page: int, answer: PageAnswer) -> list[Settled]:
        """`page` came first, but what it holds are the rows of `answer`, and it may lie beyond the end."""
        self._own(answer.digest, answer.number)
        self._extent.move(page, answer.number, answer.rows)
        self.tally.rows -= answer.rows
        self.tally.pages -= 1
        # The rows were written once, as those of `page`. If that page counts after all, they are written again.
        here, there = answer.without_rows(), answer.renumbered(page)
        self._held.add(there)
        self.tally.count([(here, PageKind.ROWS)])
        return [(here, PageKind.ROWS), (there.without_rows(), PageKind.MOVED), *self._decide()]

    def _own(self, digest: int, page: int) -> None:
        self._owners[digest] = page
        if len(self._owners) > self._most_owners:
            self._owners = {each: page for each, page in self._owners.items() if page >= self._extent.floor}
            # While a page low down is not there none can be forgotten, and each look goes through all.
            self._most_owners = 2 * max(MOST_AHEAD, len(self._owners))

    def failed(self, ask: PageAsk, outcome: Outcome[Any, Any]) -> list[Settled]:
        """A page could not be had. Behind the promised ones that may be the end; before, its rows are missing."""
        self.outstanding -= 1
        settled = self._judge_first(None) if ask.number == 1 else []
        if self._extent.is_beyond(ask.number):
            # Many APIs refuse a page beyond the last, each in its own way. Nothing that was promised is lost by it.
            self._excused[ask.number] = (ask, outcome)
            self._extent.settle(ask.number, PageKind.EMPTY)
            return settled + self._decide()
        if not self.tally.begun:
            raise first_failed(outcome)
        self._fail(ask.number, outcome)
        self._extent.settle(ask.number, PageKind.FAILED)
        return settled + self._decide()

    def _fail(self, page: int, outcome: Outcome[Any, Any]) -> None:
        self.tally.failed[page] = f"{outcome.kind}: {outcome.message}"

    def _judge_excused(self) -> list[Settled]:
        """At the end: what was refused beyond the promise is nothing, or was it, as there are rows beyond it?"""
        settled: list[Settled] = []
        for page, (ask, outcome) in sorted(self._excused.items()):
            if not self._extent.is_beyond(page):
                self._fail(page, outcome)
                continue
            if outcome.kind != "http_4xx":
                why = f"{outcome.kind}: {outcome.message[:100]}"
                self.tally.warn(f"whether there is more than the API promised could not be seen ({why})")
            settled.append((PageAnswer(ask, outcome.status or 0), PageKind.EMPTY))
        self._excused.clear()
        return settled

    def _is_in_doubt(self, answer: PageAnswer) -> bool:
        """Whether the first page may cover more offsets than it has rows.

        An API that caps the size gives 7 rows for 7 offsets, one that filters after it cut the page 7 rows for 10: the
        second page, which begins at offset 7, then repeats some. So the first waits for the second. Where they share
        rows it is asked for again, with the size that it has shown, and pages lie side by side in both kinds.
        """
        if answer.number or self._extent.size is not None or not isinstance(self._paginator, Offset):
            return False
        asked, total = self._paginator.size, self._extent.total
        if answer.more is False or self._extent.told_pages == 1:
            return False
        if not answer.rows or (asked is not None and answer.rows >= asked):
            return False
        return total is None or total > answer.rows

    def _is_first(self, answer: PageAnswer) -> bool:
        """Whether it is the first page, asked for the first time."""
        return answer.number == 0 and self._extent.size is None

    def _note_total(self, answer: PageAnswer) -> None:
        if not (answer.rows or self._is_first(answer)):
            # Beyond the last page many APIs say that there are none at all.
            return
        size = self._extent.size or answer.rows
        before = self._paginator.before(size)
        if answer.pages is not None:
            self._extent.told_pages = max(0, answer.pages - (before // size if size else 0))
        if answer.total is not None:
            self.tally.note_total(answer.total)
            self.tally.promised = self._extent.total = max(0, answer.total - before)
        self._note_promise()

    def _note_promise(self) -> None:
        self.tally.promised_pages = self._extent.promised_pages
        self.tally.rows_beyond = self._extent.beyond_promise

    def _look_at_size(self, answer: PageAnswer) -> None:
        size, asked = self._extent.size, self._paginator.size
        if answer.number == 0 or size is None or not answer.rows:
            return
        if asked is not None and size < asked and answer.number == 1:
            self.tally.warn(f"{asked:,} rows a page were asked for, the API gives {size:,}")
        if answer.rows > size and isinstance(self._paginator, Offset):
            self.tally.warn(
                f"page {answer.number + 1} holds {answer.rows:,} rows where {size:,} were asked for, so rows may come "
                "twice; --key FIELD drops them"
            )

    def _look_at_seams(self, answer: PageAnswer) -> None:
        # With --key they are dropped, and counted.
        page = self._seams.see(answer.number, answer.lines) if answer.keys is None else None
        if page is not None:
            self.tally.warn(
                f"page {page + 2:,} holds rows of page {page + 1:,}, so rows come twice: they moved while pulling, or "
                "the API does not give as many as are asked for; --key FIELD drops them (with --fresh)"
            )

    def _kind(self, answer: PageAnswer) -> PageKind:
        if answer.gone:
            self._ends[answer.number] = _ENDS[PageKind.GONE]
            return PageKind.GONE
        if answer.number == 0:
            self._first_digest = answer.digest
            step = self._extent.size or self._paginator.size
            if not answer.rows and isinstance(self._paginator, Offset) and not step:
                # Without rows and without a size there is no second offset.
                return PageKind.GONE
        if answer.rows and not self._keep_repeats:
            if self._is_first_again(answer):
                raise self._ignored()
            if not self._digests.add(answer.digest):
                return PageKind.REPEAT
        kind = self._extent.kind_of(answer.number, answer.rows, more=answer.more)
        if kind in _ENDS:
            self._ends[answer.number] = _ENDS[kind]
        return kind

    def _is_first_again(self, answer: PageAnswer) -> bool:
        """Whether the API seems to give its first page for ever: nothing but that one has brought rows."""
        same = answer.number == 1 and answer.digest == self._first_digest and self._extent.promised_pages != 1
        return same and self._extent.with_rows <= 1 and not self.tally.complete

    def _ignored(self) -> UsageError:
        name = self._paginator.parameter
        return UsageError(
            f"pages 1 and 2 hold the same rows, so the API seems to ignore the parameter {name!r}; give its right name "
            "(--page-param, --offset-param), --max-pages 1 if one page is all there is, or --on-repeat keep if pages "
            "may be equal"
        )

    def _decide(self) -> list[Settled]:
        """What of the pages held back is settled by now."""
        extent = self._extent
        fresh = extent.fresh_below
        self._note_promise()
        settled: list[Settled] = []
        if fresh > self._fresh_below:
            # Only then, as each look goes through all of them.
            self._fresh_below = fresh
            self._warn_of_holes(fresh)
            settled += self._keep_held(fresh)
        if extent.end is End.LAST:
            # What was asked for ahead and refused lies beyond the last page.
            self.tally.failed = {page: why for page, why in self.tally.failed.items() if page <= (extent.stop_at or 0)}
        if extent.end in (End.LAST, End.MOST_PAGES) and not self.outstanding:
            settled += [(answer, PageKind.ROWS) for answer in self._held.take()]
        elif extent.end in (End.TOTAL, End.BARREN) and not self.outstanding:
            settled += self._drop_held()
        elif extent.end is End.FAILURES and not self.outstanding:
            self._warn_of_failures()
        if extent.end is not None and not self.outstanding:
            settled += self._judge_excused()
        self.tally.count(settled)
        return settled

    def _warn_of_holes(self, fresh: int) -> None:
        # A last page has rows itself, so it is below `fresh` by one when nothing comes after it.
        for page in [page for page in self._ends if page < fresh - 1]:
            self.tally.warn(f"page {page + 1} {self._ends.pop(page)}")

    def _keep_held(self, below: int) -> list[Settled]:
        kept = self._held.take(below)
        for answer in kept:
            self.tally.warn(
                f"page {answer.number + 1} holds the very rows of another one, though pages after it have others; both "
                "are kept"
            )
        return [(answer, PageKind.ROWS) for answer in kept]

    def _warn_of_failures(self) -> None:
        why = next(reversed(self.tally.failed.values()), "")
        status = _REFUSED.search(why)
        hint = f"; if that is how the API says that there is no more, give --stop-on {status[1]}" if status else ""
        self.tally.warn(f"after page {self._extent.fresh_below} every page failed ({why[:100]}){hint}")

    def _drop_held(self) -> list[Settled]:
        settled: list[Settled] = [(answer, PageKind.REPEAT) for answer in self._held.take()]
        promised = self._extent.promised_pages
        if settled and (promised is None or settled[0][0].number < promised):
            first, last = settled[0][0].number + 1, settled[-1][0].number + 1
            self.tally.warn(
                f"{'page' if first == last else 'pages'} {first if first == last else f'{first} to {last}'} repeat the "
                "rows of earlier ones; that is taken for the end, and they are dropped (--fresh --on-repeat keep keeps "
                "them)"
            )
        return settled

    def as_json(self) -> dict[str, Any]:
        """What must be kept to go on: the size of pages, and what the first one said."""
        extent = self._extent
        return {"size": extent.size, "total": extent.total, "pages": extent.told_pages, "first": self._first_digest}

    def restore(self, saved: dict[str, Any], marks: Iterable[PageMark]) -> None:
        """Go on from what was kept: pages that have a mark are settled."""
        self._extent.total, self._extent.told_pages = saved["total"], saved.get("pages")
        self._first_digest = saved["first"]
        # A page that was moved after it was marked has a later mark, if it was settled since; if not, it is asked for
        # again.
        moved: dict[int, PageMark] = {}
        for mark in marks:
            if mark.kind is PageKind.MOVED or mark.number in moved:
                moved[mark.number] = mark
        if saved["size"] is not None:
            self._extent.size = saved["size"]
        for mark in marks:
            self._restore(moved.get(mark.number, mark))
        fresh = self._extent.fresh_below
        self._ends = {page: how for page, how in self._ends.items() if page >= fresh - 1}
        self._note_promise()

    def _restore(self, mark: PageMark) -> None:
        if mark.kind is PageKind.GONE and mark.number and not self._stop_on.statuses:
            # The user no longer takes a status for the end, so it is looked at again.
            return
        if mark.kind is PageKind.LAST:
            mark = mark._replace(kind=self._extent.kind_of(mark.number, mark.rows))
        if mark.kind in WITH_NEW_ROWS:
            self._digests.add(mark.digest)
            if mark.number > self._extent.floor:
                self._own(mark.digest, mark.number)
        if mark.kind in _ENDS:
            self._ends[mark.number] = _ENDS[mark.kind]
        if mark.kind is not PageKind.MOVED:
            self._extent.settle(mark.number, mark.kind, mark.rows)


def _overlap(first: PageAnswer, second: PageAnswer) -> bool:
    """Whether two pages share some rows, but are not the same."""
    if first.digest == second.digest:
        return False
    ones = set(_row_names(first))
    return any(each is not None and each in ones for each in _row_names(second))


def _row_names(answer: PageAnswer) -> Iterable[object]:
    """What tells the rows of a page apart: keys, JSON lines, or the rows themselves."""
    if answer.page is not None:
        return map(repr, answer.page.rows)
    return answer.keys or bytes(answer.lines).splitlines()

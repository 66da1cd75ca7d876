"""What a plan is: it decides which page to ask for next, and which of those that came count.

A plan takes answers in the order in which they arrive and hands each page on as soon as it is settled. Pages that
hold the very rows of an earlier one are held back until it is clear whether they lie beyond the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...engine.outcome import Outcome
from ...errors import PenstockError, UsageError
from ...rules.pagination.extent import PageKind
from .marks import PageMark
from .reader import PageAnswer, PageAsk

Settled = tuple[PageAnswer, PageKind]
"""A page and what it is. The rows of a REPEAT do not count."""

_MOST_WARNINGS = 50
_LASTING = frozenset({"accepted", "http_3xx", "http_4xx", "bad_body", "unexpected", "too_large"})


@dataclass(slots=True)
class PullTally:
    """What a pull has got so far. Rows are those that count; `duplicates` of them were dropped by their key."""

    rows: int = 0
    pages: int = 0
    begun: bool = False
    """A page was read, so the options are not all wrong."""
    promised: int | None = None
    """The rows that the API promised, where it did; the latest word counts."""
    first_total: int | None = None
    other_total: int | None = None
    """What pages with numbers said of the total: the first word, and the last one that differs from it."""
    duplicates: int = 0
    keyless: int = 0
    empty_pages: int = 0
    repeated_pages: int = 0
    repeated_rows: int = 0
    no_next: str = ""
    """The first page has nothing where it should name the next, so that it may or may not be the only one."""
    may_go_on: bool = False
    """Whether there are signs that it is not."""
    broken: bool = False
    """The API led nowhere, so that rows may be missing though nothing failed."""
    warnings: list[str] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    """Pages that could not be had in this session, and why."""
    promised_pages: int | None = None
    keyed: bool = False
    """Rows are looked up by their key."""
    unsaid: list[str] = field(default_factory=list)
    """Options that say where in an answer something is, of which no page has had anything there."""
    rows_beyond: bool = False
    """There are rows on pages that were not promised."""

    @property
    def complete(self) -> bool:
        """Whether as many rows came as were promised. Without a promise it is not known, so False."""
        return self.promised is not None and self.rows >= self.promised

    @property
    def written(self) -> int:
        """Rows that count, without those that were dropped by their key."""
        return self.rows - self.duplicates

    @property
    def short(self) -> bool:
        """Whether fewer rows were written than were promised: what came twice does not make up for what is missing."""
        return self.promised is not None and self.written < self.promised

    def is_beyond(self, page: int) -> bool:
        """Whether `page` is more than the API promised, where it kept to that so far."""
        return self.promised_pages is not None and page >= self.promised_pages and not self.rows_beyond

    def warn(self, text: str) -> None:
        """Note what the user should know; the same only once."""
        if text not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(text)

    def note_total(self, total: int) -> None:
        """An API that counts rows says how many there are."""
        if self.first_total is None:
            self.first_total = total
        elif total != self.first_total:
            self.other_total = total

    def judge(self, *, limited: bool) -> bool:
        """Say at the end what the API did not keep to; returns whether rows may be missing."""
        said = list(self._promises(limited=limited))
        # First, and not among the many that a long run may have: this is what there is to know.
        self.warnings[:0] = [text for text in said if text not in self.warnings]
        return (self.short or self.broken or (self.may_go_on and not self.complete)) and not limited

    def _promises(self, *, limited: bool) -> Iterator[str]:
        if self.promised is not None and self.written != self.promised:
            twice = f" different ones ({self.duplicates:,} came twice)" if self.duplicates else ""
            kept = f"the API promised {self.promised:,} rows and gave {self.written:,}{twice}"
            if not self.short:
                yield f"{kept}: more, and all are kept"
            elif not limited:
                yield kept
        if self.no_next and not (limited or self.complete):
            yield self.no_next
        if self.keyed and self.rows and self.keyless == self.rows:
            yield "no row has a value at --key, so it kept nothing from coming twice; is its name right?"
        if self.pages > 1:
            # Of one page nothing is told by it: many APIs leave a flag out where it would be false.
            for option in self.unsaid:
                yield f"no page has a value at {option}, so it told nothing; is its name right?"
        if self.other_total is not None:
            yield (
                f"the total went from {self.first_total:,} to {self.other_total:,} while pulling, so rows may have "
                "moved between pages"
            )

    def count(self, settled: Iterable[Settled]) -> None:
        """Add pages that were settled."""
        for answer, kind in settled:
            self.pages += 1
            self.unsaid = [option for option in self.unsaid if option not in answer.said]
            if kind is PageKind.REPEAT:
                self.repeated_pages += 1
                self.repeated_rows += answer.rows
            elif answer.rows:
                self.rows += answer.rows
            else:
                self.empty_pages += 1

    def as_json(self) -> dict[str, Any]:
        """What is kept with every commit; `restore` reads it."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what an earlier session kept."""
        for name in _KEPT:
            if name in saved:
                setattr(self, name, saved[name])
        self.warnings, self.unsaid = list(self.warnings), list(self.unsaid)


_KEPT = (
    "rows",
    "pages",
    "unsaid",
    "begun",
    "promised",
    "first_total",
    "other_total",
    "duplicates",
    "keyless",
    "empty_pages",
    "repeated_pages",
    "repeated_rows",
    "no_next",
    "may_go_on",
    "broken",
    "warnings",
)


class PagePlan(Protocol):
    """Decides what to ask for. All of it happens between two awaits, and nothing blocks."""

    tally: PullTally
    outstanding: int
    """Pages asked for and not settled."""

    @property
    def held_bytes(self) -> int:
        """Of rows that came, and wait until it is clear whether they count."""
        ...

    @property
    def limited(self) -> bool:
        """Whether it ended because so many pages are enough, and not because there are no more."""
        ...

    def asks(self) -> list[PageAsk]:
        """Pages to ask for now; none while answers must be waited for, and at the end."""
        ...

    def answered(self, answer: PageAnswer) -> list[Settled]:
        """A page came. Returns what is settled now; raises UsageError or PenstockError if going on makes no sense."""
        ...

    def failed(self, ask: PageAsk, outcome: Outcome[Any, Any]) -> list[Settled]:
        """A page could not be had. Returns what is settled now; raises PenstockError where nothing can follow."""
        ...

    def as_json(self) -> dict[str, Any]:
        """What must be kept to go on from here."""
        ...

    def restore(self, saved: dict[str, Any], marks: Iterable[PageMark]) -> None:
        """Go on from what was kept; `marks` can be gone through more than once."""
        ...


def first_failed(outcome: Outcome[Any, Any]) -> PenstockError:
    """Without the first page there is nothing to go on with: the user's fault where it is refused for good."""
    message = f"the first page failed ({outcome.kind}: {outcome.message})"
    if outcome.status in (401, 403):
        message += "; give what it wants to know you by, as with --header 'Authorization: Bearer ${TOKEN}'"
    # What is refused now will be refused again; anything else may pass.
    return UsageError(message) if outcome.kind in _LASTING else PenstockError(f"{message}; try the same command again")

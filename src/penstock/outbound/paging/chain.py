"""The plan for pages that name their successor: one after the other, and never in a circle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from ...engine.outcome import Outcome
from ...errors import PenstockError, UsageError
from ...rules.hash_set import HashSet
from ...rules.pagination.extent import EMPTY_WITHOUT_A_WORD, LOOK_BEYOND, Named, PageKind, Step, next_step
from ...rules.pagination.page_url import hide, reveal
from ...rules.secrets.values import NO_SECRETS, SecretValues
from .marks import PageMark
from .pages import Paginator, Token, follows_urls
from .plan import PullTally, Settled, first_failed
from .reader import PageAnswer, PageAsk, token_hash

_SAYS_NOTHING = frozenset({401, 403, 408, 429})
"""Statuses that refuse whoever asks, or ask for patience, and not the token."""


class ChainPlan:
    """Pages that name their successor, one after the other."""

    def __init__(
        self,
        paginator: Paginator,
        base: str,
        *,
        most_pages: int | None = None,
        keep_repeats: bool = False,
        secrets: SecretValues = NO_SECRETS,
    ) -> None:
        self.tally = PullTally()
        self.outstanding = 0
        self._paginator = paginator
        self._base = base
        self._most_pages = most_pages
        self._keep_repeats = keep_repeats
        self._secrets = secrets
        self._digests = HashSet()
        self._tokens = HashSet()
        self._first_digest = 0
        self._first_next = 0
        """The hash of what the first page named as its next."""
        self._held: list[PageAnswer] = []
        self._empty_in_a_row = 0
        self._number = 0
        self._token = paginator.first()
        self._partial = self._token is not None
        self._ended = False
        self._remember(self._token)

    def _remember(self, token: Token | None) -> None:
        if token is not None:
            self._tokens.add(token_hash(token))

    def _seen(self, token: Token | None) -> bool:
        return token is not None and token_hash(token) in self._tokens

    @property
    def held_bytes(self) -> int:
        """Of pages without new rows, of which a later one says whether they count."""
        return sum(answer.size for answer in self._held)

    @property
    def limited(self) -> bool:
        """Whether it ended because so many pages are enough, and not because there are no more."""
        if self._most_pages == 1 and self.tally.no_next:
            # One page is what the user wants, so it does not matter that it names no other.
            return True
        return not self._ended and self._most_pages is not None and self._number >= self._most_pages

    def asks(self) -> list[PageAsk]:
        """The next page, once the one before it has come."""
        if self.outstanding or self._ended or self.limited:
            return []
        self.outstanding = 1
        return [PageAsk(self._number, self._paginator.url(self._base, self._token), self._token)]

    def answered(self, answer: PageAnswer) -> list[Settled]:
        """A page came, and says which is next. Raises UsageError or PenstockError if going on makes no sense."""
        self.outstanding = 0
        self.tally.begun = True
        if answer.total is not None and not self._partial and (answer.rows or answer.number == 0):
            # Behind the last row many APIs say that there are none at all.
            self.tally.promised = answer.total
        if answer.number == 0:
            self._first_digest, self._first_next = answer.digest, _hash(answer.next)
            self.tally.no_next, self.tally.may_go_on = answer.no_next, answer.may_go_on
        if answer.gone:
            return self._end_here()
        repeat = bool(answer.rows) and not self._keep_repeats and not self._digests.add(answer.digest)
        leads_back = answer.next not in (None, "") and _hash(answer.next) == self._first_next
        if _is_empty(answer) and (repeat or leads_back):
            return self._led_back(answer)
        if repeat:
            return self._repeated(answer)
        if answer.more and answer.next is None and not self.tally.complete:
            self._stop(f"page {answer.number + 1} says that there are more rows, and names no next page", ends=False)
        if answer.status == 204 and answer.number and not self.tally.complete:
            self.tally.warn(
                f"page {answer.number + 1} is an answer without content (HTTP 204), so it names no next one; taken for "
                "the end"
            )
        kind = PageKind.ROWS if answer.rows else PageKind.EMPTY
        self._empty_in_a_row = 0 if answer.rows else self._empty_in_a_row + 1
        # A page with new rows settles what was held back; an empty one says nothing.
        settled = [*self._release(), (answer, kind)] if answer.rows or not self._held else []
        if not settled:
            self._held.append(answer)
        self.tally.count(settled)
        if self._empty_in_a_row == EMPTY_WITHOUT_A_WORD + 1:
            self.tally.warn(
                f"from page {answer.number + 1 - EMPTY_WITHOUT_A_WORD} on pages are empty, and each names another one"
            )
        return settled + self._go_on(answer)

    def _end_here(self) -> list[Settled]:
        """The API has no such page (--stop-on STATUS)."""
        self._ended = True
        settled = self._release()
        self.tally.count(settled)
        return settled

    def _repeated(self, answer: PageAnswer) -> list[Settled]:
        if answer.number == 1 and answer.digest == self._first_digest and not self.tally.complete:
            raise self._ignored()
        self._held.append(answer)
        if sum(bool(each.rows) for each in self._held) < LOOK_BEYOND:
            return self._go_on(answer, repeat=True)
        self._stop(
            f"pages {self._held[0].number + 1} to {answer.number + 1} repeat the rows of earlier ones, with ever new "
            "tokens; they are dropped, and no more are asked for (--fresh --on-repeat keep goes on)"
        )
        return self._drop()

    def _go_on(self, answer: PageAnswer, *, repeat: bool = False) -> list[Settled]:
        """Turn to the page after `answer`. Returns what else is settled by that."""
        named = Named(
            answer.next,
            more=answer.more,
            own=answer.token not in (None, "") and _hash(answer.next) == _hash(answer.token),
            seen=self._seen(answer.next),
            rows=answer.rows > 0,
            repeat=repeat,
            promised=self.tally.promised is not None,
            complete=self.tally.complete,
        )
        step = next_step(named, empty_in_a_row=self._empty_in_a_row)
        if step is Step.ENDLESS:
            raise PenstockError(
                f"{self._empty_in_a_row:,} pages in a row are empty, and each names yet another one, so this would "
                "never end; what came before is kept"
            )
        if step is Step.CYCLE:
            self._stop(
                f"page {answer.number + 1} names a page as the next that was asked for before: the API runs in a circle"
            )
            return self._drop()
        self._number = answer.number + 1
        self._token = answer.next
        self._remember(answer.next)
        self._ended = step is Step.END
        if not self._ended and not self.limited:
            return []
        settled = self._release()
        self.tally.count(settled)
        return settled

    def _led_back(self, answer: PageAnswer) -> list[Settled]:
        self.tally.warn(
            'the last page names "" as the next, which led back to rows that were there before; taken for the end'
        )
        self._ended = True
        self._held.append(answer)
        return self._drop()

    def _stop(self, why: str, *, ends: bool = True) -> None:
        self.tally.warn(why)
        self.tally.broken = not self.tally.complete
        self._ended = ends

    def _release(self) -> list[Settled]:
        held, self._held = self._held, []
        return [(each, PageKind.ROWS if each.rows else PageKind.EMPTY) for each in held]

    def _drop(self) -> list[Settled]:
        held, self._held = self._held, []
        settled: list[Settled] = [(each, PageKind.REPEAT if each.rows else PageKind.EMPTY) for each in held]
        self.tally.count(settled)
        return settled

    def failed(self, ask: PageAsk, outcome: Outcome[Any, Any]) -> list[Settled]:
        """Without this page nothing can follow, unless the API refuses an empty token, which is the end."""
        self.outstanding = 0
        if _is_empty(ask) and outcome.kind == "http_4xx" and outcome.status not in _SAYS_NOTHING:
            self.tally.warn('the last page names "" as the next, which the API refuses; taken for the end')
            return self._end_here()
        if not self.tally.begun:
            raise first_failed(outcome)
        raise PenstockError(
            f"page {ask.number + 1} failed ({outcome.kind}: {outcome.message}), and only it says where the next one "
            "is; the same command goes on from there"
        )

    def _ignored(self) -> UsageError:
        name = getattr(self._paginator, "parameter", "")
        what = "what the first page names as the next leads to it again"
        if name:
            what += f", or the API ignores the parameter {name!r} (--cursor-param gives another name)"
        return UsageError(
            f"pages 1 and 2 hold the same rows: {what}; --max-pages 1 if one page is all there is, --on-repeat keep if "
            "pages may be equal"
        )

    def as_json(self) -> dict[str, Any]:
        """Where the chain goes on. What is held back is not settled, so it will be asked for again."""
        number, token = (self._held[0].number, self._held[0].token) if self._held else (self._number, self._token)
        if isinstance(token, int) and abs(token) >= 1 << 63:
            # The journal has no room for longer numbers; as text they make the same request.
            token = str(token)
        return {
            "number": number,
            "token": self._hidden(token),
            "ended": self._ended and not self._held,
            "first": self._first_digest,
            "first_next": self._first_next,
            "empty_in_a_row": self._empty_in_a_row,
        }

    def _hidden(self, token: Token | None) -> Token | None:
        """`token` as it may be written; `_revealed` makes of it the token of a run that has another key."""
        if self._is_url(token):
            token = hide(token, self._base)
        return self._secrets.hide(token) if isinstance(token, str) else token

    def _revealed(self, token: Token | None) -> Token | None:
        if isinstance(token, str):
            token = self._secrets.reveal(token)
        return reveal(token, self._base) if self._is_url(token) else token

    def _is_url(self, token: Token | None) -> TypeGuard[str]:
        # A token may look like anything, and it holds no parameters of the user's own URL.
        return isinstance(token, str) and follows_urls(self._paginator)

    def restore(self, saved: dict[str, Any], marks: Iterable[PageMark]) -> None:
        """Go on from what was kept; the marks tell which rows and tokens were seen before."""
        token = saved["token"]
        self._number, self._ended = saved["number"], saved["ended"]
        self._token = self._revealed(token)
        self._first_digest, self._first_next = saved["first"], saved["first_next"]
        self._empty_in_a_row = saved["empty_in_a_row"]
        for mark in marks:
            if mark.rows and mark.kind is not PageKind.REPEAT:
                self._digests.add(mark.digest)
            if mark.token:
                self._tokens.add(mark.token)
        self._remember(self._token)


def _is_empty(page: PageAsk | PageAnswer) -> bool:
    """Whether it was asked for with the `""` that a page before it named, by which many APIs mean the end."""
    return page.token == "" and page.number > 0


def _hash(token: Token | None) -> int:
    return 0 if token is None else token_hash(token)

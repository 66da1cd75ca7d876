"""The plans of a pull, on APIs that mislead, with answers in every order."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.engine.outcome import Item, Outcome
from penstock.errors import PenstockError, UsageError
from penstock.outbound.paging.chain import ChainPlan
from penstock.outbound.paging.countable import CountablePlan
from penstock.outbound.paging.marks import PageMark
from penstock.outbound.paging.pages import Cursor, Offset, PageNumber
from penstock.outbound.paging.plan import PagePlan, Settled
from penstock.outbound.paging.reader import PageAnswer, PageAsk, token_hash
from penstock.rules.pagination.extent import MOST_EMPTY_CHAINED, PageKind, StopOn

BASE = "http://api.test/rows"


def answer_of(ask: PageAsk, rows: list[str], *, total: int | None = None, following: Any = None) -> PageAnswer:
    """A page as the reader would have made it; `rows` are its lines."""
    answer = PageAnswer(ask, 200)
    answer.rows = len(rows)
    answer.lines = "".join(f"{row}\n" for row in rows).encode()
    answer.size = len(answer.lines)
    answer.digest = token_hash(answer.lines.decode()) if rows else 0
    answer.total = total
    answer.next = following
    return answer


class Kept:
    """What a sink would have written and marked."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.marks: list[PageMark] = []
        self.done: set[int] = set()

    def add(self, settled: list[Settled]) -> None:
        """Keep pages that were settled."""
        for answer, kind in settled:
            if kind is not PageKind.REPEAT:
                self.rows.update(bytes(answer.lines).decode().split())
            token = 0 if answer.token is None else token_hash(answer.token)
            self.marks.append(PageMark(answer.number, answer.digest, token, answer.rows, kind))
            self.done.add(answer.number)


class PagesOf:
    """A countable API: pages of rows, and what lies beyond them."""

    def __init__(self, pages: list[list[str]], beyond: str = "empty", total: int | None = None) -> None:
        self.pages = pages
        self.beyond = beyond
        self.total = total

    def answer(self, ask: PageAsk) -> PageAnswer:
        """The page that is asked for, by its number."""
        if ask.number < len(self.pages):
            rows = self.pages[ask.number]
        else:
            rows = {"empty": [], "last": self.pages[-1], "first": self.pages[0]}[self.beyond]
        return answer_of(ask, rows, total=self.total)


def pull(plan: PagePlan, api: PagesOf, chance: random.Random, kept: Kept, *, most_answers: int = 10**9) -> bool:
    """Ask and answer in a random order; whether the plan came to its end."""
    waiting: list[PageAsk] = []
    for _ in range(most_answers):
        while len(waiting) < 12 and (asks := plan.asks()):
            waiting += asks
        if not waiting:
            return True
        ask = waiting.pop(chance.randrange(len(waiting)))
        kept.add(plan.answered(api.answer(ask)))
    return False


def numbered_pages(count: int, size: int, holes: frozenset[int] = frozenset()) -> list[list[str]]:
    """`count` full pages of different rows, those in `holes` empty."""
    return [[] if page in holes else [f"{page}.{row}" for row in range(size)] for page in range(count)]


@given(
    count=st.integers(2, 40),
    size=st.integers(1, 4),
    beyond=st.sampled_from(["empty", "last", "first"]),
    total=st.sampled_from(["none", "honest", "low"]),
    hole=st.integers(1, 60),
    seed=st.integers(0, 10**6),
)
@example(count=13, size=1, beyond="last", total="none", hole=60, seed=3)
def test_every_row_once_in_whatever_order_pages_arrive(
    count: int, size: int, beyond: str, total: str, hole: int, seed: int
) -> None:
    """Nothing is lost or doubled by look-ahead, holes, and pages beyond the end that repeat others."""
    pages = numbered_pages(count, size, frozenset({hole} if hole < count - 1 else ()))
    rows = sum(map(len, pages))
    claimed = {"none": None, "honest": rows, "low": max(1, rows // 3)}[total]
    kept = Kept()
    plan = CountablePlan(Offset(size), BASE)
    assert pull(plan, PagesOf(pages, beyond, claimed), random.Random(seed), kept)
    assert kept.rows == Counter(row for page in pages for row in page)
    assert plan.tally.rows == rows
    assert kept.done >= set(range(count))


@given(
    count=st.integers(6, 30),
    beyond=st.sampled_from(["empty", "last"]),
    stops=st.lists(st.integers(1, 12), max_size=4),
    seed=st.integers(0, 10**6),
)
def test_nothing_is_lost_or_doubled_by_restarts(count: int, beyond: str, stops: list[int], seed: int) -> None:
    """A plan that is thrown away at any moment goes on from its marks; what was in flight is asked for again."""
    api, chance, kept = PagesOf(numbered_pages(count, 2), beyond), random.Random(seed), Kept()
    plan = CountablePlan(Offset(2), BASE)
    for answers in stops:
        pull(plan, api, chance, kept, most_answers=answers)
        fresh = CountablePlan(Offset(2), BASE)
        fresh.tally.restore(plan.tally.as_json())
        fresh.restore(plan.as_json(), kept.marks)
        plan = fresh
    assert pull(plan, api, chance, kept)
    assert kept.rows == Counter(f"{page}.{row}" for page in range(count) for row in range(2))


@given(seed=st.integers(0, 10**6), twin=st.integers(2, 9))
def test_equal_pages_in_the_middle_are_kept(seed: int, twin: int) -> None:
    """Two pages may hold the same rows; only at the end that is taken for a repeat."""
    pages = numbered_pages(12, 2)
    pages[twin + 1] = pages[twin]
    kept = Kept()
    assert pull(CountablePlan(Offset(2), BASE), PagesOf(pages), random.Random(seed), kept)
    assert kept.rows == Counter(row for page in pages for row in page)


@pytest.mark.parametrize("paginator", [Offset(2), PageNumber(2)])
def test_an_api_that_ignores_the_page_is_an_error(paginator: Any) -> None:
    """It names the parameter, and does not go on for ever."""
    plan = CountablePlan(paginator, BASE)
    with pytest.raises(UsageError, match=paginator.parameter):
        pull(plan, PagesOf([["a", "b"]], "first", 100), random.Random(1), Kept())


def test_an_api_that_ignores_the_page_but_has_no_more_is_fine() -> None:
    """One page holds all that was promised: the look beyond it finds the same rows, which do not count."""
    kept = Kept()
    plan = CountablePlan(Offset(), BASE)
    assert pull(plan, PagesOf([["a", "b"]], "first", 2), random.Random(1), kept)
    assert kept.rows == Counter("ab")


def test_equal_pages_are_kept_on_request() -> None:
    """`--on-repeat keep` believes the API; then --max-pages is what ends it."""
    kept = Kept()
    plan = CountablePlan(Offset(2), BASE, keep_repeats=True, most_pages=5)
    assert pull(plan, PagesOf([["a", "b"]], "first"), random.Random(1), kept)
    assert kept.rows == Counter({"a": 5, "b": 5})
    assert plan.limited


def test_a_total_that_lies_high_ends_and_is_short() -> None:
    """Twenty empty pages in a row are enough, and what is missing shows."""
    kept = Kept()
    plan = CountablePlan(Offset(2), BASE)
    assert pull(plan, PagesOf(numbered_pages(5, 2), "empty", 10_000), random.Random(1), kept)
    assert plan.tally.short
    assert plan.tally.pages < 300


def test_a_total_that_grows_is_followed() -> None:
    """The latest word of the API counts."""
    kept = Kept()
    api = PagesOf(numbered_pages(6, 2), "empty", 4)
    plan = CountablePlan(Offset(2), BASE)
    assert not pull(plan, api, random.Random(1), kept, most_answers=1)
    api.total = 12
    assert pull(plan, api, random.Random(1), kept)
    assert plan.tally.promised == plan.tally.rows == 12
    assert not plan.tally.warnings


@pytest.mark.parametrize("rows", [95, 100])
def test_an_exact_total_costs_at_most_one_call_more(rows: int) -> None:
    """A last page that is as short as it should be needs no look beyond; a full one does."""
    everything = [str(row) for row in range(rows)]
    pages = [everything[start : start + 10] for start in range(0, rows, 10)]
    plan = CountablePlan(Offset(10), BASE)
    assert pull(plan, PagesOf(pages, "empty", rows), random.Random(1), Kept())
    assert plan.tally.pages == (10 if rows == 95 else 11)


def test_stop_on_short_asks_for_nothing_beyond() -> None:
    """The page after a short one is never asked for, but the first page cannot be short."""
    plan = CountablePlan(Offset(1000), BASE, stop_on=StopOn.SHORT)
    kept = Kept()
    pages = [*numbered_pages(3, 5), ["x"]]
    assert pull(plan, PagesOf(pages), random.Random(1), kept)
    assert kept.rows == Counter(row for page in pages for row in page)


def failure(ask: PageAsk, kind: str = "http_4xx", status: int | None = 404) -> Outcome[Any, Any]:
    """The outcome of a page that could not be had."""
    return Outcome(Item(ask.number, ask), ok=False, kind=kind, message=f"HTTP {status}", status=status)


def test_pages_that_all_fail_beyond_the_end_do_not_go_on_for_ever() -> None:
    """An API that refuses pages beyond the end, without a total, is told apart by --stop-on 404."""
    plan = CountablePlan(Offset(2), BASE)
    asked = 0
    while asks := plan.asks():
        for ask in asks:
            asked += 1
            plan.answered(answer_of(ask, [f"{ask.number}.{n}" for n in "ab"])) if ask.number < 4 else plan.failed(
                ask, failure(ask)
            )
    assert asked < 20
    assert "--stop-on 404" in plan.tally.warnings[-1]


@pytest.mark.parametrize(("kind", "status"), [("http_4xx", 404), ("http_4xx", 400), ("http_5xx", 500)])
def test_a_refused_page_beyond_the_promise_is_the_end(kind: str, status: int) -> None:
    """All that was promised is there, so nothing has failed."""
    plan = CountablePlan(Offset(2), BASE)
    for _ in range(2):
        for ask in plan.asks():
            if ask.number == 4:
                plan.failed(ask, failure(ask, kind, status))
                continue
            plan.answered(answer_of(ask, [f"{ask.number}a", f"{ask.number}b"], total=8))
    assert plan.tally.complete
    assert not plan.asks()
    assert not plan.tally.failed
    assert bool(plan.tally.warnings) is (kind != "http_4xx")


@pytest.mark.parametrize("stop_on", [StopOn.NOT_FOUND, StopOn.SHORT])
def test_a_last_page_with_rows_after_it_is_not_the_last(stop_on: StopOn) -> None:
    """A 404 or a short page among pages that come at the same time: those beyond it say that it is not the end."""
    plan, kept = CountablePlan(Offset(2), BASE, stop_on=stop_on), Kept()
    waiting: list[PageAsk] = []
    while True:
        while len(waiting) < 3 and (asks := plan.asks()):
            waiting += asks
        if not waiting:
            break
        ask = waiting.pop(0)
        rows = [f"{ask.number}.{row}" for row in "ab"] if ask.number < 9 else []
        answer = answer_of(ask, rows[:1] if ask.number == 3 and stop_on.short else rows)
        if stop_on.statuses and ask.number in (3, 9, 10, 11, 12):
            answer = answer_of(ask, [])
            answer.gone = True
        kept.add(plan.answered(answer))
    pages = {row.partition(".")[0] for row in kept.rows}
    assert pages == {str(page) for page in range(9) if page != 3 or stop_on.short}
    assert any(text.startswith("page 4 ") for text in plan.tally.warnings)


def test_another_way_to_stop_holds_for_the_next_session_too() -> None:
    """What ended the pull before is judged anew."""
    api = PagesOf([["a", "b"], ["c", "d"], ["e"], ["f"]])
    kept, plan = Kept(), CountablePlan(Offset(2), BASE, stop_on=StopOn.SHORT)
    while asks := plan.asks()[:1]:
        kept.add(plan.answered(api.answer(asks[0])))
    assert "f" not in kept.rows
    fresh = CountablePlan(Offset(2), BASE)
    fresh.restore(plan.as_json(), kept.marks)
    assert pull(fresh, api, random.Random(0), kept)
    assert kept.rows == Counter("abcdef")


def test_a_first_page_that_is_empty_the_second_time_is_not_the_end() -> None:
    """It is asked for twice to learn the size where the second one repeats some of its rows."""
    plan, kept = CountablePlan(Offset(), BASE), Kept()
    kept.add(plan.answered(answer_of(plan.asks()[0], ["a", "c"])))
    (second,) = plan.asks()
    kept.add(plan.answered(answer_of(second, ["c", "d"])))
    kept.add(plan.answered(answer_of(plan.asks()[0], [])))
    assert pull(plan, PagesOf([[], ["c", "d"]]), random.Random(0), kept)
    assert kept.rows == Counter("cd")


@pytest.mark.parametrize(("second", "asked"), [(["c", "d"], 0), (["b", "c"], 1)])
def test_the_first_page_is_asked_for_twice_only_where_the_second_repeats_some(second: list[str], asked: int) -> None:
    """An API that filters after it cut the page gives 2 rows for more than 2 offsets; then some come again."""
    plan, kept = CountablePlan(Offset(), BASE), Kept()
    kept.add(plan.answered(answer_of(plan.asks()[0], ["a", "b"])))
    kept.add(plan.answered(answer_of(plan.asks()[0], second)))
    assert [ask.number for ask in plan.asks()].count(0) == asked


# -- chains -----------------------------------------------------------------------------------------------------------

Chain = dict[Any, tuple[list[str], Any]]
"""Token -> (rows, the token of the next page)."""


def walk(plan: ChainPlan, chain: Chain, kept: Kept, *, total: int | None = None, most_answers: int = 5000) -> None:
    """Follow the chain to its end, or for so many answers."""
    for _ in range(most_answers):
        asks = plan.asks()
        if not asks:
            return
        rows, following = chain[asks[0].token]
        kept.add(plan.answered(answer_of(asks[0], rows, total=total, following=following)))


def chain_plan(**options: Any) -> ChainPlan:
    """A plan for cursors."""
    return ChainPlan(Cursor(), BASE, **options)


def straight(count: int) -> Chain:
    """Pages with tokens 1, 2, ..., of one row each."""
    return {page or None: ([f"row{page}"], page + 1 if page < count - 1 else None) for page in range(count)}


@given(st.integers(2, 12), st.integers(0, 11))
def test_a_cycle_of_any_length_ends(count: int, back_to: int) -> None:
    """The last page leads back: every row is there once, and the pull is marked as broken."""
    chain = straight(count)
    target = back_to % count
    rows, _ = chain[count - 1]
    chain[count - 1] = (rows, target or 99)
    chain[99] = (["row0"], 1)
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept)
    assert kept.rows == Counter(f"row{page}" for page in range(count))
    assert plan.tally.broken
    assert "circle" in plan.tally.warnings[0]


def test_a_cycle_is_seen_across_restarts() -> None:
    """The tokens of the session before are known, so what they lead to is not asked for again."""
    chain = straight(6) | {5: (["row5"], 2)}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept, most_answers=4)
    fresh = chain_plan()
    fresh.restore(plan.as_json(), kept.marks)
    walk(fresh, chain, kept)
    assert kept.rows == Counter(f"row{page}" for page in range(6))


@given(st.lists(st.integers(1, 5), max_size=4))
def test_a_chain_goes_on_after_restarts(stops: list[int]) -> None:
    """The token that is kept is that of the first page that is not."""
    chain = straight(15) | {7: (["row6"], 8), 10: ([], 11)}
    kept, plan = Kept(), chain_plan()
    for answers in stops:
        walk(plan, chain, kept, most_answers=answers)
        fresh = chain_plan()
        fresh.tally.restore(plan.tally.as_json())
        fresh.restore(plan.as_json(), kept.marks)
        plan = fresh
    walk(plan, chain, kept)
    assert kept.rows == Counter(row for rows, _ in chain.values() for row in rows)
    assert not plan.tally.broken


@pytest.mark.parametrize("token", ["a?\0z3", "t?q=a%20b&n=3", "?q=a+b", "\0"])
def test_a_token_that_looks_like_a_url_is_kept_as_it_is(token: str) -> None:
    """What hides the user's parameters in next URLs spelt it in another way, or could not read it again."""
    plan, base = ChainPlan(Cursor(), f"{BASE}?q=a+b"), f"{BASE}?q=a+b"
    plan.answered(answer_of(plan.asks()[0], ["a"], following=token))
    fresh = ChainPlan(Cursor(), base)
    fresh.restore(plan.as_json(), [])
    assert fresh.asks()[0].token == token


@pytest.mark.parametrize("token", ["", 0, "0", "a b", -1, 1.5])
def test_any_string_and_number_is_a_token(token: Any) -> None:
    """Only null is the end, and `""` where no more is promised."""
    chain = {None: (["a"], token), token: (["b"], "z"), "z": (["c"], None)}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept, total=3 if token == "" else None)
    assert kept.rows == Counter("abc")
    assert not plan.tally.broken


def test_an_empty_token_that_leads_back_to_the_first_page_is_the_end() -> None:
    """Many APIs say `""` for the end, and take it for no token at all."""
    chain: Chain = {None: (["a"], "x"), "x": (["b"], ""), "": (["a"], "x")}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept, total=3)
    assert kept.rows == Counter("ab")
    assert not plan.tally.broken


def test_an_empty_token_is_the_end_where_nothing_more_is_promised() -> None:
    """Slack's way to end: it cost a call and a warning at each run."""
    chain: Chain = {None: (["a"], "x"), "x": (["b"], "")}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept)
    assert kept.rows == Counter("ab")
    assert not plan.tally.warnings


def test_an_empty_token_is_the_end_where_the_total_agrees() -> None:
    """Then it costs no call."""
    chain: Chain = {None: (["a"], "x"), "x": (["b"], "")}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept, total=2)
    assert kept.rows == Counter("ab")
    assert not plan.tally.warnings


def test_an_empty_token_that_is_refused_is_the_end() -> None:
    """A page that cannot be had for that reason is no failure."""
    kept, plan = Kept(), chain_plan()
    walk(plan, {None: (["a"], "")}, kept, most_answers=1, total=2)
    (ask,) = plan.asks()
    kept.add(plan.failed(ask, failure(ask, status=400)))
    assert not plan.asks()
    assert not plan.tally.failed


def test_an_empty_token_that_follows_itself_is_a_cycle() -> None:
    """Its rows are new, so they are kept."""
    chain: Chain = {None: (["a"], ""), "": (["b"], "")}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept, total=3)
    assert kept.rows == Counter("ab")
    assert plan.tally.broken


def ends(chain: list[tuple[Any, list[str], Any, bool | None]], *, total: int | None = None) -> tuple[Kept, ChainPlan]:
    """Walk along answers of (the token that is asked for, rows, next token, more), to the end."""
    kept, plan = Kept(), chain_plan()
    for token, rows, following, more in chain:
        (ask,) = plan.asks()
        assert ask.token == token
        answer = answer_of(ask, rows, total=total, following=following)
        answer.more = more
        kept.add(plan.answered(answer))
    assert not plan.asks()
    return kept, plan


@pytest.mark.parametrize(
    "chain",
    [
        # No more, and a token that goes on, or stays, or leads back: it ran for ever, or was accused of a circle.
        [(None, ["a"], "1", True), ("1", ["b"], "2", False)],
        [(None, ["a"], "1", True), ("1", ["b"], "1", False)],
        [(None, ["a"], "1", None), ("1", ["b"], "2", None), ("2", ["c"], "1", False)],
        # An empty page that names itself.
        [(None, ["a"], "1", None), ("1", ["b"], "2", None), ("2", [], "2", None)],
        # A scroll, whose id stays while the server goes on: two pages of three were lost.
        [(None, ["a"], "s", None), ("s", ["b"], "s", None), ("s", ["c"], "s", None), ("s", [], "s", None)],
        [(None, ["a"], "s", True), ("s", ["b"], "s", True), ("s", ["c"], "s", False)],
    ],
)
def test_a_chain_that_ends_is_not_accused(chain: list[tuple[Any, list[str], Any, bool | None]]) -> None:
    """Every row, no warning, and the run is whole."""
    kept, plan = ends(chain)
    assert kept.rows == Counter(row for _, rows, _, _ in chain for row in rows)
    assert (plan.tally.warnings, plan.tally.broken) == ([], False)


def test_a_token_that_stays_with_the_same_rows_is_a_circle() -> None:
    """One call more than for others tells it from a scroll."""
    _, plan = ends([(None, ["a"], "s", None), ("s", ["b"], "s", None), ("s", ["b"], "s", None)])
    assert "in a circle" in plan.tally.warnings[0]
    assert plan.tally.broken


def test_more_without_a_next_page_is_told() -> None:
    """Rows may be missing then."""
    _, plan = ends([(None, ["a"], "1", True), ("1", ["b"], None, True)])
    assert "says that there are more rows, and names no next page" in plan.tally.warnings[0]
    assert plan.tally.broken


def test_a_total_that_is_reached_ends_a_chain_at_an_empty_page() -> None:
    """Ever new tokens on empty pages went on for a thousand calls."""
    _, plan = ends([(None, ["a"], "1", None), ("1", ["b"], "2", None), ("2", [], "3", None)], total=2)
    assert (plan.tally.warnings, plan.tally.broken) == ([], False)


def test_empty_pages_are_told_after_three_and_end_at_a_hundred() -> None:
    """Each of them is a call of the user's quota."""
    kept, plan = Kept(), chain_plan()
    for number in range(MOST_EMPTY_CHAINED):
        (ask,) = plan.asks()
        kept.add(plan.answered(answer_of(ask, [] if number else ["a"], following=f"t{number}")))
        assert len(plan.tally.warnings) == (number > 3)
    (ask,) = plan.asks()
    with pytest.raises(PenstockError, match="would never end"):
        plan.answered(answer_of(ask, [], following="another"))


def test_pages_that_repeat_with_ever_new_tokens_end() -> None:
    """Three in a row; they are dropped, and the pull is marked as broken."""
    chain: Chain = {page or None: ([f"row{min(page, 4)}"], page + 1) for page in range(5000)}
    kept, plan = Kept(), chain_plan()
    walk(plan, chain, kept)
    assert kept.rows == Counter(f"row{page}" for page in range(5))
    assert plan.tally.broken
    assert plan.tally.repeated_pages == 3


def test_a_cursor_that_is_ignored_is_an_error() -> None:
    """It names the parameter."""
    with pytest.raises(UsageError, match="cursor"):
        walk(chain_plan(), {page or None: (["row"], page + 1) for page in range(50)}, Kept())


def test_empty_pages_with_ever_new_tokens_end() -> None:
    """A thousand in a row are no chain any more."""
    chain: Chain = {page or None: (["row"] if page == 0 else [], page + 1) for page in range(5000)}
    kept = Kept()
    with pytest.raises(PenstockError, match="empty"):
        walk(chain_plan(), chain, kept)
    assert kept.rows == Counter({"row": 1})


def test_a_page_of_a_chain_that_fails_ends_it() -> None:
    """Only it knows the next one; it is asked for again by the next session."""
    kept, plan = Kept(), chain_plan()
    walk(plan, straight(5), kept, most_answers=2)
    (ask,) = plan.asks()
    with pytest.raises(PenstockError, match="page 3 failed"):
        plan.failed(ask, failure(ask, "http_5xx", 500))
    fresh = chain_plan()
    fresh.restore(plan.as_json(), kept.marks)
    walk(fresh, straight(5), kept)
    assert kept.rows == Counter(f"row{page}" for page in range(5))


@pytest.mark.parametrize("plan", [CountablePlan(Offset(2), BASE), chain_plan()])
def test_a_first_page_that_is_refused_is_the_users_fault(plan: PagePlan) -> None:
    """What is refused now will be refused again; what failed otherwise may pass."""
    (ask,) = plan.asks()
    with pytest.raises(UsageError, match="first page"):
        plan.failed(ask, failure(ask, status=401))
    with pytest.raises(PenstockError, match="again"):
        plan.failed(ask, failure(ask, "timeout", None))

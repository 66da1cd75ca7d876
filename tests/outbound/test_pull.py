"""A whole pull in virtual time: through the engine, under limits, with failures, and from Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

import penstock
from penstock import Request, Response
from penstock.call import PlainCall
from penstock.outbound import pull as pull_module
from penstock.outbound.pull import PullJob, open_pull
from penstock.rules.pagination.extent import StopOn
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow
from penstock.testing import SlidingLog, lognormal, run_virtual, uniform

URL = "http://api.test/rows"
Query = dict[str, str]


class Api:
    """An API in this process: `answer(query)` makes the JSON, or an exception, or a Response."""

    def __init__(
        self, answer: Callable[[Query], Any], *, latency: Any = None, limiter: Any = None, seed: int = 0
    ) -> None:
        self._answer = answer
        self._seconds = (latency or uniform(0.01, 0.02)).sampler(seed)
        self._limiter = limiter
        self.queries: list[Query] = []
        self.refused = 0
        self.headers: list[penstock.Headers] = []

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        clock = penstock.clock.current_clock()
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        self.queries.append(query)
        self.headers.append(request.headers)
        if self._limiter is not None and self._limiter.arrive(clock.now()) is not None:
            self.refused += 1
            return Response(429, [("Retry-After", "1")])
        await clock.sleep(self._seconds())
        value = self._answer(query)
        if isinstance(value, BaseException):
            raise value
        return value if isinstance(value, Response) else Response(200, (), orjson.dumps(value), url=request.url)


def offsets(count: int, **more: Any) -> Callable[[Query], Any]:
    """An API of `count` rows with offset and limit, 10 rows a page if none is given."""

    def answer(query: Query) -> Any:
        start, size = int(query.get("offset", 0)), int(query.get("limit", 10))
        return {"items": [{"id": row} for row in range(start, min(count, start + size))], "total": count, **more}

    return answer


def cursors(count: int) -> Callable[[Query], Any]:
    """An API of `count` pages of one row with tokens."""

    def answer(query: Query) -> Any:
        page = int(query.get("cursor", 0))
        return {"items": [{"id": page}], "next_cursor": str(page + 1) if page + 1 < count else None}

    return answer


OFFSET = Paging("offset", total="total")


def pull(
    monkeypatch: pytest.MonkeyPatch,
    api: Api,
    out: Path,
    paging: Paging = OFFSET,
    *,
    flow: Flow | None = None,
    **job: Any,
) -> dict[str, Any]:
    """One session of a durable pull; returns its summary."""
    monkeypatch.setattr(pull_module, "make_client", lambda flow, *told: nullcontext(PlainCall(api)))
    said: list[str] = job.pop("said", [])
    with open_pull(PullJob(URL, out, paging, flow or Flow(), **job), said.append) as run:
        summary = run_virtual(run.carry_out())
        run.write_table()
        return summary


def ids(out: Path) -> list[int]:
    """The rows of an output, sorted."""
    return sorted(orjson.loads(line)["id"] for line in out.read_bytes().splitlines())


def _killed(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_a_fresh_start_leaves_what_links_to_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard link keeps what was pulled before, as a backup made by links does; a symbolic one stays a link."""
    plain, there = tmp_path / "plain.jsonl", tmp_path / "there.jsonl"
    linked = tmp_path / "linked.jsonl"
    linked.symlink_to(there)
    for out in (plain, linked):
        pull(monkeypatch, Api(offsets(30)), out)
    kept = tmp_path / "kept.jsonl"
    kept.hardlink_to(plain)
    for out in (plain, linked):
        pull(monkeypatch, Api(offsets(20)), out, fresh=True)
    assert ids(kept) == [*range(30)]
    assert ids(plain) == ids(there) == [*range(20)]
    assert linked.is_symlink()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_pull_that_fails_at_once_leaves_no_output_but_a_link(
    is_link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try must not write to another disk than the one that was meant."""
    out = tmp_path / "out.jsonl"
    if is_link:
        out.symlink_to(tmp_path / "there.jsonl")
    with pytest.raises(penstock.PenstockError):
        pull(monkeypatch, Api(lambda query: Response(404)), out)
    assert out.is_symlink() is is_link
    assert out.exists() is is_link


def test_every_row_of_a_known_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows against promise, pages, and no more calls than pages, also where the page size has to be learnt."""
    api = Api(offsets(95))
    summary = pull(monkeypatch, api, tmp_path / "out.jsonl")
    assert ids(tmp_path / "out.jsonl") == list(range(95))
    assert (summary["rows"], summary["rows_promised"], summary["pages"], summary["total"]) == (95, 95, 10, 10)
    assert (summary["short"], summary["warnings"], summary["failed_pages"]) == (False, [], [])
    assert len(api.queries) == 10
    api.queries.clear()
    pull(monkeypatch, api, tmp_path / "told.jsonl", Paging("offset", total="total", page_size=10))
    assert len(api.queries) == 10


def test_countable_pages_use_the_whole_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 a minute at 8 to 30 seconds a page: as fast as the limit allows, and never refused."""
    api = Api(offsets(6000), latency=uniform(8.0, 30.0), limiter=SlidingLog(100, 60.0))
    flow = Flow(limits=(penstock.parse_limit("100/min"),), guard=0.0, attempt_timeout=60.0)
    summary = pull(monkeypatch, api, tmp_path / "out.jsonl", flow=flow)
    assert api.refused == 0
    assert summary["rows"] == 6000
    # 601 sends at the limit take six minutes; the first page is waited for, and the last answer.
    assert summary["elapsed_s"] < 600 / 100 * 60 + 2 * 30


def test_a_chain_is_followed_and_a_finished_one_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again only shows the summary."""
    api = Api(cursors(12))
    out = tmp_path / "out.jsonl"
    first = pull(monkeypatch, api, out, Paging("cursor"))
    again = pull(monkeypatch, api, out, Paging("cursor"))
    assert ids(out) == list(range(12))
    assert len(api.queries) == 12
    assert first["rows"] == again["rows"] == 12
    assert again["complete"]


def test_failed_pages_are_asked_for_again_by_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others come all the same; failed.jsonl names those that did not."""
    good = offsets(100)
    down = True

    def answer(query: Query) -> Any:
        return Response(500) if down and query["offset"] in ("30", "70") else good(query)

    api, out = Api(answer), tmp_path / "out.jsonl"
    summary = pull(monkeypatch, api, out, flow=Flow(max_attempts=2))
    assert [each["page"] for each in summary["failed_pages"]] == [4, 8]
    assert summary["complete"]
    assert len(ids(out)) == 80
    failed = [orjson.loads(line) for line in (tmp_path / "out.jsonl.run" / "failed.jsonl").read_bytes().splitlines()]
    assert failed == summary["failed_pages"]
    down = False
    api.queries.clear()
    summary = pull(monkeypatch, api, out)
    assert [query["offset"] for query in api.queries] == ["30", "70"]
    assert ids(out) == list(range(100))
    assert (summary["failed_pages"], summary["failed"], summary["short"]) == ([], 0, False)


def test_a_chain_that_breaks_is_resumed_where_it_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before is asked for again."""
    good = cursors(9)
    down = True

    def answer(query: Query) -> Any:
        return Response(500) if down and query.get("cursor") == "5" else good(query)

    api, out = Api(answer), tmp_path / "out.jsonl"
    with pytest.raises(penstock.PenstockError, match="page 6 failed"):
        pull(monkeypatch, api, out, Paging("cursor"), flow=Flow(max_attempts=2))
    down = False
    api.queries.clear()
    pull(monkeypatch, api, out, Paging("cursor"))
    assert [query["cursor"] for query in api.queries] == ["5", "6", "7", "8"]
    assert ids(out) == list(range(9))


def test_a_wrong_first_page_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the second try, with the right option, is not in its own way."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(penstock.UsageError, match="--rows 'rows'"):
        pull(monkeypatch, Api(offsets(20)), out, Paging("offset", rows="rows"))
    assert not out.exists()
    assert pull(monkeypatch, Api(offsets(20)), out, Paging("offset", rows="items"))["rows"] == 20


def test_a_wrong_page_later_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that can be gone on from."""
    good, out = cursors(9), tmp_path / "out.jsonl"
    api = Api(lambda query: {"error": "busy"} if query.get("cursor") == "4" else good(query))
    with pytest.raises(penstock.PenstockError, match="page 5: there are no rows") as caught:
        pull(monkeypatch, api, out, Paging("cursor"))
    assert not isinstance(caught.value, penstock.UsageError)
    assert pull(monkeypatch, Api(good), out, Paging("cursor"))["rows"] == 9


def test_max_pages_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a bound on one command, no property of the run; fewer rows than promised are then no surprise."""
    for paging, api in ((OFFSET, Api(offsets(95))), (Paging("cursor"), Api(cursors(95)))):
        out = tmp_path / f"{paging.style}.jsonl"
        for most_pages, pages in ((3, 3), (7, 7), (None, 10 if paging is OFFSET else 95)):
            summary = pull(monkeypatch, api, out, paging, most_pages=most_pages)
            assert (summary["pages"], summary["complete"], summary["short"]) == (pages, True, False)
        assert ids(out) == list(range(95))


def test_rows_without_end_in_one_page_size_and_404(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that refuses what lies beyond its last page."""
    good = offsets(100)
    api = Api(lambda query: good(query) if int(query["offset"]) < 100 else Response(404))
    summary = pull(monkeypatch, api, tmp_path / "out.jsonl", Paging("offset"), stop_on=StopOn.NOT_FOUND)
    assert (summary["rows"], summary["failed_pages"]) == (100, [])


def test_keys_drop_what_an_api_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page begins with the last row of the one before."""

    def answer(query: Query) -> Any:
        page = int(query.get("page", 1)) - 1
        return [{"id": row} for row in range(max(0, page * 9 - 1), min(90, page * 9 + 9))]

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", Paging("page"), key="id")
    assert ids(tmp_path / "out.jsonl") == list(range(90))
    assert (summary["rows"], summary["rows_received"], summary["duplicates"]) == (90, 100, 10)


def test_auto_says_what_it_found_and_keeps_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run does not look again."""
    api, out, said = Api(offsets(95, offset=0, limit=10)), tmp_path / "out.jsonl", list[str]()
    pull(monkeypatch, api, out, Paging(), said=said, flow=Flow(command=("penstock", "pull", URL, "--paginate", "auto")))
    assert ids(out) == list(range(95))
    assert len(api.queries) == 10
    assert "rows at 'items' (10 in the first page), a total at 'total'" in said[0]
    assert said[1] == (
        f"penstock pull {URL} --paginate offset --size-param limit --offset-param offset --rows items --total total"
    )
    pull(monkeypatch, api, out, Paging())
    assert len(api.queries) == 10


def test_other_options_are_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what differs; --fresh starts afresh; a file that is not ours is left alone."""
    out = tmp_path / "out.jsonl"
    pull(monkeypatch, Api(offsets(20)), out)
    with pytest.raises(penstock.RunRefused, match="--page-size") as caught:
        pull(monkeypatch, Api(offsets(20)), out, Paging("offset", total="total", page_size=5))
    assert caught.value.differs == ("--page-size",)
    assert pull(monkeypatch, Api(offsets(30)), out, fresh=True)["rows"] == 30
    (tmp_path / "mine.jsonl").write_text("mine\n")
    with pytest.raises(penstock.OutputError, match="not the output of a run"):
        pull(monkeypatch, Api(offsets(20)), tmp_path / "mine.jsonl", fresh=True)
    with pytest.raises(penstock.UsageError, match="its ending"):
        pull(monkeypatch, Api(offsets(20)), tmp_path / "out.xlsx")


def test_a_kill_while_starting_afresh_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old rows are not taken for a file of somebody else."""
    out = tmp_path / "out.jsonl"
    pull(monkeypatch, Api(offsets(20)), out)
    with monkeypatch.context() as patch:
        patch.setattr("penstock.runs.journal.Journal.create", _killed)
        with pytest.raises(KeyboardInterrupt):
            pull(monkeypatch, Api(offsets(20)), out, fresh=True)
    assert pull(monkeypatch, Api(offsets(30)), out, fresh=True)["rows"] == 30
    assert ids(out) == list(range(30))


@pytest.mark.parametrize("paging", [OFFSET, Paging("cursor")])
def test_second_calls_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paging: Paging) -> None:
    """With --hedge a page may be answered twice."""
    answer = {"offset": offsets(10_000), "cursor": cursors(1000)}[paging.style]
    api = Api(answer, latency=lognormal(0.01, 1.0))
    summary = pull(monkeypatch, api, tmp_path / "out.jsonl", paging, flow=Flow(hedge=0.95))
    assert ids(tmp_path / "out.jsonl") == list(range(summary["rows"]))
    assert summary["rows"] == {"offset": 10_000, "cursor": 1000}[paging.style]
    assert len(api.queries) > summary["pages"] + 1


def test_repeats_cannot_be_kept_by_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped would not come back, so it is said instead of doing nothing."""
    out = tmp_path / "out.jsonl"
    pull(monkeypatch, Api(offsets(20)), out)
    with pytest.raises(penstock.RunRefused, match="--on-repeat"):
        pull(monkeypatch, Api(offsets(20)), out, keep_repeats=True)


def test_no_secret_gets_into_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither headers nor what the user's URL holds, also where next URLs repeat it."""
    base = URL

    def answer(query: Query) -> Any:
        page = int(query.get("p", 0))
        following = f"{base}?key=hunter2&p={page + 1}" if page < 3 else None
        return {"items": [{"id": page}], "next": following} if page != 2 or up else Response(500)

    up, out = False, tmp_path / "out.jsonl"
    monkeypatch.setattr(f"{__name__}.URL", f"{URL}?key=hunter2")
    job: dict[str, Any] = {"headers": (("Authorization", "Bearer hunter2"),), "flow": Flow(max_attempts=1)}
    with pytest.raises(penstock.PenstockError):
        pull(monkeypatch, Api(answer), out, Paging("next-url"), **job)
    for file in (tmp_path / "out.jsonl.run").iterdir():
        assert b"hunter2" not in file.read_bytes(), file
    up = True
    api = Api(answer)
    pull(monkeypatch, api, out, Paging("next-url"), **job)
    assert [query["key"] for query in api.queries] == ["hunter2"] * 2
    assert api.headers[0].get("authorization") == "Bearer hunter2"
    assert ids(out) == list(range(4))


@pytest.mark.parametrize("ending", ["csv", "sqlite"])
def test_a_table_is_made_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """The rows wait in the run folder until then."""
    out = tmp_path / f"out.{ending}"
    pull(monkeypatch, Api(offsets(20)), out)
    assert out.stat().st_size
    assert len((tmp_path / f"out.{ending}.run" / "rows.jsonl").read_bytes().splitlines()) == 20


# -- from Python ------------------------------------------------------------------------------------------------------


async def pages_of(api: Api, paginate: Any, **options: Any) -> list[penstock.Page]:
    """All pages of a pull."""
    async with penstock.pull(URL, paginate=paginate, client=api, **options) as pages:
        return [page async for page in pages]


def test_pages_from_python() -> None:
    """Each as soon as it is there, with its number, rows and total."""
    api = Api(offsets(95))
    pages = run_virtual(pages_of(api, penstock.Offset(size=10), rows="items", total="total", limit="100/min"))
    assert sorted(row["id"] for page in pages for row in page.rows) == list(range(95))
    assert sorted(page.number for page in pages) == list(range(10))
    assert {page.total for page in pages} == {95}


def test_a_chain_from_python_comes_in_order() -> None:
    """One after the other."""
    pages = run_virtual(pages_of(Api(cursors(7)), penstock.Cursor(), rows="items"))
    assert [page.rows[0]["id"] for page in pages] == list(range(7))
    assert [page.token for page in pages] == [None, "1", "2", "3", "4", "5", "6"]


class LastId:
    """A paginator of one's own: what follows is whatever comes after the last row."""

    def first(self) -> None:
        return None

    def url(self, base: str, token: Any) -> str:
        return base if token is None else f"{base}?after={token}"

    def next(self, page: penstock.Page) -> Any:
        return page.rows[-1]["id"] if page.answer["more"] else None


def test_a_paginator_of_ones_own() -> None:
    """Three methods are enough."""

    def answer(query: Query) -> Any:
        start = int(query.get("after", -1)) + 1
        return {"data": [{"id": row} for row in range(start, start + 3)], "more": start < 9}

    pages = run_virtual(pages_of(Api(answer), LastId(), rows="data"))
    assert [row["id"] for page in pages for row in page.rows] == list(range(12))


def test_what_an_api_gets_wrong_is_a_warning_from_python() -> None:
    """After the last page, so that all that came is there."""
    with pytest.warns(penstock.PullWarning, match="promised 50 rows and gave 20"):
        pages = run_virtual(pages_of(Api(offsets(20, total=50)), penstock.Offset(), rows="items", total="total"))
    assert sum(len(page.rows) for page in pages) == 20


def test_pages_that_failed_are_an_error_after_the_last() -> None:
    """The others came."""
    good = offsets(100)
    api = Api(lambda query: Response(500) if query["offset"] == "30" else good(query))
    got: list[int] = []

    async def main() -> None:
        options: Any = {"rows": "items", "total": "total", "max_attempts": 2}
        async with penstock.pull(URL, paginate=penstock.Offset(), client=api, **options) as pages:
            async for page in pages:
                got.append(page.number)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", penstock.PullWarning)
        with pytest.raises(penstock.PagesFailed, match="page 4, http_5xx") as caught:
            run_virtual(main())
    assert list(caught.value.pages) == [3]
    assert set(range(10)) - set(got) == {3}


def test_a_wrong_page_is_an_error_from_python() -> None:
    """With the beginning of the answer."""
    with pytest.raises(penstock.BadPage, match="no rows at --rows 'rows'"):
        run_virtual(pages_of(Api(offsets(5)), penstock.Offset(), rows="rows"))
    with pytest.raises(penstock.UsageError, match="a pull is a context"):
        aiter(penstock.pull(URL, paginate=penstock.Offset()))

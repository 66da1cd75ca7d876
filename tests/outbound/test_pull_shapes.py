"""`pull` by the URL alone: how public APIs page, each with nothing but its URL given."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from penstock import Request, Response
from penstock.call import PlainCall
from penstock.errors import UsageError
from penstock.outbound import pull as pull_module
from penstock.outbound.pull import PullJob, open_pull
from penstock.rules.limits.rate import parse_limit
from penstock.rules.pagination.extent import StopOn
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow
from penstock.testing import FaultServer, ServedRequest, run_virtual
from penstock.testing.paged_shapes import SHAPES, PagedShapes
from penstock.testing.paged_shapes.noted import NOTED

REFUSED = {"discord": "a bare list, by the id of its last row, and nothing in the answer or the URL says so"}
"""Shapes that are refused with a suggestion, and why nothing in one answer or three more tells."""


BLIND = {"bare-list-page", "bare-from-zero", "socrata", "github", "relative-link", "discourse"}
"""Shapes whose answers say nothing: two tries are in vain, and three pages without rows after a full one end it."""


ONE_FULL_PAGE = {
    *("airtable", "aws", "azure-header", "dynamodb", "fhir", "google", "hubspot", "odata", "paypal", "sharepoint"),
    *("shopify", "twitter", "mediawiki", "next-change-id", "page-cursor"),
}
"""Shapes that say nothing on their last page: of one page that may be full nobody can tell, so it is refused."""


class Pulled:
    """What one command came to."""

    def __init__(self, name: str, rows: int, out: Path, monkeypatch: pytest.MonkeyPatch, **job: Any) -> None:
        self.api = PagedShapes(rows)
        self.said: list[str] = []
        monkeypatch.setattr(pull_module, "make_client", lambda flow, *told: nullcontext(PlainCall(self._answer)))
        query = SHAPES[name].query
        url = f"http://api.test/{name}{f'?{query}' if query else ''}"
        with open_pull(PullJob(url, out, flow=Flow(), **job), self.said.append) as run:
            self.summary = run_virtual(run.carry_out())
        written = [orjson.loads(line) for line in out.read_bytes().splitlines()]
        self.ids = [row.get("node", row)["id"] for row in written]
        self.calls = self.api.asked[name]

    async def _answer(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        reply = self.api(ServedRequest("GET", target.encode(), {"host": parts.netloc}, b""))
        return Response(reply.status, list(reply.headers.items()), reply.body, url=request.url)


def _ids(rows: int) -> list[int]:
    return [7 * number + 7 for number in range(rows)]


@pytest.mark.parametrize("name", sorted(set(SHAPES) - set(REFUSED)))
def test_the_url_is_enough(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row once, no accusation, at most three calls more than pages."""
    rows = 212
    pulled = Pulled(name, rows, tmp_path / "out.jsonl", monkeypatch)
    assert sorted(pulled.ids) == _ids(rows)
    assert (pulled.summary["complete"], pulled.summary["short"]) == (True, False)
    assert (pulled.summary["warnings"], pulled.summary["failed_pages"]) == ([], [])
    assert pulled.calls <= SHAPES[name].most_calls(rows)


@pytest.mark.parametrize("name", sorted(set(SHAPES) - set(REFUSED)))
@pytest.mark.parametrize("rows", [0, 1, 37, 50, 100, 150])
def test_however_many_rows_there_are(name: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, a few, one full page, two: all of them, never an accusation, never many calls more."""
    if rows == 50 and name in ONE_FULL_PAGE:
        with pytest.raises(UsageError, match="cannot tell how this API pages"):
            Pulled(name, rows, tmp_path / "out.jsonl", monkeypatch)
        return
    pulled = Pulled(name, rows, tmp_path / "out.jsonl", monkeypatch)
    assert pulled.summary["rows"] == rows
    assert not pulled.summary["short"]
    assert pulled.summary["failed_pages"] == []
    assert pulled.calls <= SHAPES[name].most_calls(rows) + 2 * (name in BLIND and (rows <= 50 or rows % 50 == 0))


def test_enough_of_them() -> None:
    """The figures that are promised: 23 shapes of which 21 are found, 40 others of which 36 are."""
    others = set(SHAPES) - set(NOTED)
    assert len(NOTED) == 23
    assert len(others) >= 40
    assert len(set(REFUSED) & set(NOTED)) <= 2
    assert 10 * len(set(REFUSED) & others) <= len(others)


def test_the_readme_and_the_figures_count_them_right() -> None:
    """What each says was counted once, by hand."""
    root = Path(__file__).parents[2]
    found, noted = len(SHAPES) - len(REFUSED), len(NOTED)
    assert f"{found} of the {len(SHAPES)} shapes" in (root / "README.md").read_text()
    figures = (root / "docs" / "figures.md").read_text()
    assert f"| {noted} that a trial of the first release noted | {noted - len(set(REFUSED) & set(NOTED))} |" in figures
    assert f"| {len(SHAPES) - noted} collected from public documentation | {found - noted} |" in figures


@pytest.mark.parametrize("name", ["stripe", "spring-data", "notion", "zendesk", "socrata"])
def test_what_was_found_is_kept_and_page_one_is_asked_for_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on probes no more, and the command that is printed is the same run."""
    out = tmp_path / "out.jsonl"
    first = Pulled(name, 212, out, monkeypatch, most_pages=2)
    assert len(first.ids) == 100
    assert first.api.queries.count("") == 1
    assert len(set(first.api.queries)) == len(first.api.queries)
    again = Pulled(name, 212, out, monkeypatch)
    assert sorted(again.ids) == _ids(212)
    assert again.said == []
    assert not set(first.api.queries) & set(again.api.queries)


def test_the_sentence_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that was made to find out, and what it showed; a refusal is evidence and no failure."""
    pulled = Pulled("socrata", 212, tmp_path / "out.jsonl", monkeypatch)
    assert "tried offset=50&limit=50: an error; page=2: an error; $offset=50&$limit=50: other rows" in pulled.said[0]
    with pytest.raises(UsageError, match="tried offset=50&limit=50: the same rows; page=2: the same rows"):
        Pulled("discord", 212, tmp_path / "no.jsonl", monkeypatch)


def test_what_was_disproved_is_not_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that had just been tried in vain was proposed; with the NAME put in, this one works."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(UsageError) as raised:
        Pulled("discord", 212, out, monkeypatch)
    assert raised.value.command.endswith("--paginate cursor --cursor-param NAME --rows @ --next '[-1].id'")
    paging = Paging("cursor", cursor_param="before", rows="@", next="[-1].id")
    assert sorted(Pulled("discord", 212, out, monkeypatch, paging=paging).ids) == _ids(212)


def test_no_fact_is_said_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the number of pages is told, it was, as a fact and as a guess."""
    said = Pulled("last-page-only", 212, tmp_path / "out.jsonl", monkeypatch).said[0]
    assert said.count("lastPage") == 1


def test_most_pages_is_at_most_so_many_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page 1 was asked for twice where no size is given."""
    for name in ("limit-offset-total", "items-total", "gbif", "skip-limit"):
        assert Pulled(name, 212, tmp_path / f"{name}.jsonl", monkeypatch, most_pages=2).calls == 2
        asked = {"most_pages": 2, "paging": Paging("offset", offset_param="skip" if name[0] == "s" else None)}
        assert Pulled(name, 212, tmp_path / f"{name}-told.jsonl", monkeypatch, **asked).calls == 2


@pytest.mark.parametrize(
    ("name", "paging"),
    [
        ("gitlab-no-link", Paging("cursor", next="header:X-Next-Page", cursor_param="page")),
        ("azure-header", Paging("cursor", next="header:x-ms-continuation", cursor_param="continuation")),
        ("postgrest", Paging("offset", total="header:Content-Range")),
        ("wordpress", Paging("page", total_pages="header:X-WP-TotalPages")),
        ("total-pages-400", Paging("page", total_pages="total_pages")),
        ("stripe", Paging("cursor", next="data[-1].id", cursor_param="starting_after", more="has_more")),
        ("salesforce", Paging("next-url", next="nextRecordsUrl", more="!done", rows="records")),
        ("page-has-more", Paging("page", more="has_more")),
    ],
)
def test_each_place_can_be_said(name: str, paging: Paging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--next, --total and --total-pages in a header, --more turned; exit 0 and no word."""
    pulled = Pulled(name, 212, tmp_path / "out.jsonl", monkeypatch, paging=paging)
    assert sorted(pulled.ids) == _ids(212)
    assert (pulled.summary["warnings"], pulled.summary["failed_pages"]) == ([], [])
    assert pulled.calls <= SHAPES[name].most_calls(212)


@pytest.mark.parametrize(("name", "status"), [("total-pages-400", 400), ("last-page-only", 422), ("postgrest", 416)])
def test_a_status_can_be_the_end(name: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only 404 could be said; of others eight calls and exit code 1 came, though all rows were there."""
    style = "offset" if name == "postgrest" else "page"
    without = Pulled(name, 212, tmp_path / "without.jsonl", monkeypatch, paging=Paging(style))
    assert any(f"--stop-on {status}" in text for text in without.summary["warnings"])
    told = Pulled(
        name, 212, tmp_path / "told.jsonl", monkeypatch, paging=Paging(style), stop_on=StopOn.read([status, 404])
    )
    assert sorted(told.ids) == _ids(212)
    assert (told.summary["warnings"], told.summary["failed_pages"]) == ([], [])


def test_a_key_that_no_row_has_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It protects against nothing then."""
    pulled = Pulled("stripe", 212, tmp_path / "out.jsonl", monkeypatch, key="nokey")
    said = "no row has a value at --key, so it kept nothing from coming twice; is its name right?"
    assert pulled.summary["warnings"] == [said]
    assert Pulled("stripe", 212, tmp_path / "id.jsonl", monkeypatch, key="id").summary["warnings"] == []


@pytest.mark.parametrize(
    ("option", "name", "paging"),
    [
        ("--more", "zendesk", Paging(more="nothere")),
        ("--more", "stripe", Paging("cursor", next="data[-1].id", cursor_param="starting_after", more="header:X-Nix")),
        ("--more", "page-has-more", Paging("page", more="nothere")),
        ("--total-pages", "total-pages-400", Paging("page", total_pages="nothere")),
        ("--total-pages", "wordpress", Paging("page", total_pages="header:X-Nix")),
    ],
)
def test_a_place_with_nothing_is_told(
    option: str, name: str, paging: Paging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that no page has ends nothing, and nobody heard of it; where there is one page it may be left out."""
    said = f"no page has a value at {option}, so it told nothing; is its name right?"
    out = tmp_path / "out.jsonl"
    first = Pulled(name, 212, out, monkeypatch, paging=paging, most_pages=2)
    assert said in first.summary["warnings"]
    assert not any("nothere" in text for text in first.said[:1])
    assert said in Pulled(name, 212, out, monkeypatch, paging=paging).summary["warnings"]
    alone = Pulled(name, 37, tmp_path / "one.jsonl", monkeypatch, paging=paging)
    assert (said in alone.summary["warnings"]) == (alone.summary["pages"] > 1)


def test_over_a_socket(tmp_path: Path) -> None:
    """The same over HTTP, under a limit, as the command does it."""
    shapes = PagedShapes()

    async def pull_all() -> None:
        async with FaultServer(respond=shapes) as server:
            for name in ("stripe", "spring-data", "bare-list", "wordpress", "zendesk", "europe-pmc"):
                out = tmp_path / f"{name}.jsonl"
                flow = Flow(limits=(parse_limit("500/s"),))
                with open_pull(PullJob(f"{server.url}/{name}", out, flow=flow)) as run:
                    summary = await run.carry_out()
                assert (summary["rows"], summary["short"], summary["failed_pages"]) == (212, False, [])
                assert shapes.asked[name] <= SHAPES[name].most_calls(212)

    asyncio.run(pull_all())

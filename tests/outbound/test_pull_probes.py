"""The calls that find out how an API pages are calls of the run: by its words on answers, and with its secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import Response, UsageError
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow

from .test_pull import Api, Query, ids, pull

AUTO = Paging()
KEY = "k3y" + "Zz9k7qXw" * 6


def _pages(query: Query, before: str = "t") -> dict[str, Any]:
    """Four pages of 50 rows; a page is named by a number behind `before`."""
    page = int(query.get("cursor", before)[len(before) :] or 0)
    rows = [{"id": 50 * page + row} for row in range(50)]
    return {"items": rows, "next_cursor": f"{before}{page + 1}" if page < 3 else None}


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"throttle_when": (403,)}, Response(403)),
        ({"retry_when": (400,)}, Response(400)),
        ({"throttle_when": ("error == 'slow down'",)}, Response(200, (), b'{"error":"slow down"}')),
        ({"poll_until": "items"}, Response(200, (), b'{"state":"running"}')),
        ({}, Response(403, [("Retry-After", "1")])),
    ],
)
@pytest.mark.parametrize("call", [1, 2])
def test_what_an_api_means_by_its_answers_holds_for_them(
    options: dict[str, Any], refusal: Response, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that passes is no evidence against a guess, nor the end of the first look."""
    out = tmp_path / "out.jsonl"
    said: list[str] = []
    api = Api(lambda query: refusal if len(api.queries) == call else _pages(query))
    summary = pull(monkeypatch, api, out, AUTO, flow=Flow(**options), said=said)
    assert (ids(out), summary["failed_pages"]) == ([*range(200)], [])
    assert len(api.queries) == 5
    assert "tried cursor=t1: other rows" in said[0]


@pytest.mark.parametrize("proves", [True, False])
def test_a_token_that_holds_the_key_is_said_without_it(
    *, proves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was tried is cut to 40 letters: of a long key the beginning was left, which nothing masks any more."""
    headers = (("Authorization", f"Bearer {KEY}"),)
    out = tmp_path / "out.jsonl"
    said: list[str] = []
    api = Api(lambda query: _pages(query if proves else {}, KEY))
    if proves:
        pull(monkeypatch, api, out, AUTO, headers=headers, said=said, most_pages=2)
    else:
        with pytest.raises(UsageError) as raised:
            pull(monkeypatch, api, out, AUTO, headers=headers, said=said)
        said.append(str(raised.value))
    assert "tried cursor=***1: " in said[0]
    assert KEY[:8] not in "".join(said)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != out)
    assert KEY[:8].encode() not in kept

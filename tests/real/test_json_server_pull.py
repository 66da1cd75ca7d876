"""Full pulls from json-server, two versions that page differently, compared row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .json_server import NEXT, STABLE, json_server_of, orders
from .serving import pull

COUNT = 1234

pytestmark = [pytest.mark.service, pytest.mark.real]


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pages that are fetched at once are written as they come."""
    return sorted(rows, key=lambda row: int(row["id"][1:]))


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of 0.x."""
    with json_server_of(STABLE, tmp_path_factory.mktemp("stable"), COUNT) as url:
        yield url


@pytest.fixture(scope="module")
def coming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of 1.x."""
    with json_server_of(NEXT, tmp_path_factory.mktemp("next"), COUNT) as url:
        yield url


PAGE = ["--paginate", "page", "--page-param", "_page"]
OFFSET = ["--paginate", "offset", "--offset-param", "_start"]
LIMIT = ["--page-size", "100", "--size-param", "_limit"]


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", [*PAGE, *LIMIT]),
        ("", [*PAGE, *LIMIT, "--total", "header:X-Total-Count"]),
        ("", [*OFFSET, *LIMIT]),
        ("?_page=1", ["--paginate", "link", *LIMIT]),
        ("?_page=1&_limit=100", []),
    ],
    ids=["page", "page with total", "offset", "link", "auto"],
)
def test_every_row_of_the_stable_version_once(stable: str, tmp_path: Path, query: str, options: list[str]) -> None:
    """It answers with a list; the total is in a header, the next page as well: so by look-ahead, by total, by Link."""
    pulled = pull(stable + query, tmp_path / "out.jsonl", *options)
    assert pulled.code == 0, pulled.errors
    assert in_order(pulled.rows) == orders(COUNT)


NUMBERED = [*PAGE, "--page-size", "100", "--size-param", "_per_page", "--rows", "data"]


@pytest.mark.parametrize(
    ("query", "options", "promised"),
    [
        ("", [*NUMBERED, "--total", "items"], COUNT),
        ("", NUMBERED, None),
        ("?_page=1&_per_page=100", [], COUNT),
    ],
    ids=["page with total", "page without total", "auto"],
)
def test_every_row_of_the_next_version_once(
    coming: str, tmp_path: Path, query: str, options: list[str], promised: int | None
) -> None:
    """It repeats its last page for whatever lies beyond the end: without a total, that is how one knows."""
    pulled = pull(coming + query, tmp_path / "out.jsonl", *options)
    assert pulled.code == 0, pulled.errors
    assert in_order(pulled.rows) == orders(COUNT)
    assert pulled.summary["rows_promised"] == promised

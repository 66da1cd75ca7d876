"""Full pulls from Datasette, compared row by row with the SQLite file behind it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from .datasette import datasette_server, make_database, stored_rows
from .serving import pull

COUNT = 4321

pytestmark = [pytest.mark.service, pytest.mark.real]


@dataclass(frozen=True)
class Served:
    """A running Datasette and the file behind it."""

    url: str
    database: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests: they only read."""
    database = tmp_path_factory.mktemp("datasette") / "shop.db"
    make_database(database, COUNT)
    with datasette_server(database) as url:
        yield Served(url, database)


CURSOR = ["--paginate", "cursor", "--cursor-param", "_next", "--next", "next"]
NEXT_URL = ["--paginate", "next-url", "--next", "next_url"]
SIZED = ["--rows", "rows", "--page-size", "500", "--size-param", "_size"]
TOTAL = ["--total", "filtered_table_rows_count"]
STYLES = {
    "cursor": ("_shape=objects", [*CURSOR, *SIZED, *TOTAL]),
    "next-url": ("_shape=objects", [*NEXT_URL, *SIZED, *TOTAL]),
    "link": ("_shape=array", ["--paginate", "link", "--page-size", "500", "--size-param", "_size"]),
    "auto": ("_shape=objects&_size=500", []),
    "auto, a bare list": ("_shape=array&_size=500", []),
}


@pytest.mark.parametrize("table", ["orders", "parts"])
@pytest.mark.parametrize("style", STYLES)
def test_every_row_of_a_table_once(served: Served, tmp_path: Path, table: str, style: str) -> None:
    """By each of the three ways that Datasette offers, and by what `auto` finds; also behind keys that need quoting."""
    query, options = STYLES[style]
    pulled = pull(f"{served.url}/{table}.json?{query}", tmp_path / "out.jsonl", *options)
    assert pulled.code == 0, pulled.errors
    assert pulled.rows == stored_rows(served.database, table)
    assert pulled.summary["rows"] == COUNT
    if "array" not in query:
        assert pulled.summary["rows_promised"] == COUNT


def test_a_table_of_datasette_becomes_a_table_of_sqlite(served: Served, tmp_path: Path) -> None:
    """What comes out is what went in, types included."""
    query, options = STYLES["cursor"]
    out = tmp_path / "copy.sqlite"
    pulled = pull(f"{served.url}/orders.json?{query}", out, *options)
    assert pulled.code == 0, pulled.errors
    with closing(sqlite3.connect(out)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        assert len(names) == 1
        rows = database.execute(f"select id, customer, price, note from {names[0]} order by id").fetchall()  # noqa: S608
    assert rows == [tuple(row.values()) for row in stored_rows(served.database, "orders")]


def test_a_filter_in_the_url_stays(served: Served, tmp_path: Path) -> None:
    """Only the rows that were asked for, over several pages."""
    query, options = STYLES["next-url"]
    url = f"{served.url}/orders.json?{query}&price__gte=300"
    pulled = pull(url, tmp_path / "out.jsonl", *options)
    assert pulled.code == 0, pulled.errors
    assert pulled.rows == [row for row in stored_rows(served.database, "orders") if row["price"] >= 300]

"""A real Datasette from PyPI, in a virtual environment of its own, over a SQLite file that is made here."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .serving import cache, free_port, serving

VERSION = "0.65.5"


def datasette() -> Path:
    """The program, installed on first use."""
    home = cache(f"datasette-{VERSION}")
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", f"datasette=={VERSION}"], check=True)
        (home / "ready").touch()
    return home / "bin" / "datasette"


def make_database(path: Path, count: int) -> None:
    """Tables `orders` (an integer key) and `parts` (a key of two texts that need quoting), `count` rows each."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table orders (id integer primary key, customer text, price real, note text)")
        database.execute("create table parts (shelf text, name text, pieces integer, primary key (shelf, name))")
        orders = [(7 * n, f"Zoë {n % 50}", n / 8, None if n % 5 else 'a, "b"\nc') for n in range(1, count + 1)]
        parts = [(f"shelf {n % 7}", f'{n}, 3/4" & é~', n) for n in range(count)]
        database.executemany("insert into orders values (?, ?, ?, ?)", orders)
        database.executemany("insert into parts values (?, ?, ?)", parts)


def stored_rows(path: Path, table: str) -> list[dict[str, Any]]:
    """What is in a table, as SQLite itself says, in the order of the key."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        key = "id" if table == "orders" else "shelf, name"
        return [dict(row) for row in database.execute(f"select * from {table} order by {key}")]  # noqa: S608


@contextmanager
def datasette_server(database: Path) -> Iterator[str]:
    """Serve `database` on a free port; yields the root URL of its tables."""
    port = free_port()
    command: list[str | Path] = [datasette(), "serve", database, "--host", "127.0.0.1", "--port", str(port)]
    with serving(command, port, "/-/versions.json", database.with_name("datasette.log")) as root:
        yield f"{root}/{database.stem}"

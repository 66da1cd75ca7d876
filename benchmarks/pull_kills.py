"""SIGKILL at random moments of `penstock pull`, in every style: what is lost, doubled or wrong, how soon it goes on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .kills import IN_FLIGHT, Check, Tally, play, report_kills
from .processes import PENSTOCK, Ended, scratch
from .report import Report
from .servers import fault_server

ROWS, PAGE_SIZE = 20_000, 50
STYLES: dict[str, list[str]] = {
    "offset": ["--total", "total"],
    "page": [],
    "cursor": ["--next", "next"],
    "next-url": ["--next", "next"],
    "link": [],
}
FAST, SLOW = "uniform:0.001:0.010", "uniform:0.2:0.6"
LATENCY = {"offset": SLOW, "page": SLOW}
"""Seconds a page, so that a run takes a few seconds whether it has many pages in flight or one."""
TABLE_OF = {"page": "sqlite", "cursor": "sqlite"}
"""Styles whose rows go on to a table; the others stay JSONL."""


def check_pull() -> Check:
    """Every row once, as the API has it."""
    from penstock.testing import PagedApi

    dataset = PagedApi(rows=ROWS).dataset

    def judge(out: Path, ended: Ended, tally: Tally) -> None:
        seen: dict[int, int] = {}
        for row in _rows(out):
            seen[row["id"]] = seen.get(row["id"], 0) + 1
            tally.wrong += row != dataset[row["id"]]
        tally.lost += sum(number not in seen for number in range(ROWS))
        tally.doubled += sum(count - 1 for count in seen.values())

    return judge


def _rows(out: Path) -> list[dict[str, Any]]:
    import sqlite3
    from contextlib import closing

    import orjson

    if out.suffix != ".sqlite":
        return [orjson.loads(line) for line in out.read_bytes().splitlines()]
    with closing(sqlite3.connect(out)) as database:
        database.row_factory = sqlite3.Row
        (name,) = (row[0] for row in database.execute("select name from sqlite_master where type = 'table'"))
        found = (dict(row) for row in database.execute(f"select * from {name}"))  # noqa: S608
        return [{**row, "active": bool(row["active"])} for row in found]


def measure(report: Report, kills: int, seed: int = 0) -> None:
    """The kills are shared out among the styles."""
    rng = random.Random(seed)
    tallies: dict[str, Tally] = {}
    share = -(-kills // len(STYLES))
    with scratch() as folder:
        for style, more in STYLES.items():
            options = ["--rows", str(ROWS), "--page-size", str(PAGE_SIZE), "--style", style]
            options += ["--latency", LATENCY.get(style, FAST)]
            with fault_server(folder, *options, module="penstock.testing.paged_server") as server:
                out = folder / f"{style}.{TABLE_OF.get(style, 'jsonl')}"
                argv = _command(f"{server.url}/rows", out, style, more)
                pages = ROWS // PAGE_SIZE
                tallies[f"pull {style}"] = play(folder, server, argv, out, check_pull(), pages, share, rng)
    report_kills(report, tallies)


def _command(url: str, out: Path, style: str, more: Sequence[str]) -> list[str | Path]:
    common = ["--rows", "items", "--page-size", str(PAGE_SIZE), "--size-param", "limit"]
    return [
        *PENSTOCK,
        "pull",
        url,
        "--out",
        out,
        "--paginate",
        style,
        *common,
        *more,
        "--in-flight",
        str(IN_FLIGHT),
        "--json",
    ]

"""The first part of the demo: a slow, limited, paginated API, of which not a row may be lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson

from .stage import GUARD, Check, clear, judge, limit_checks, run_killed_half_way, server, tell, write_report

PAGES = 1_200
PAGE_SIZE = 10
RATE = 100
_SEED = 3


def pull_rows(out: Path) -> tuple[bool, Path]:
    """Pull, be killed, go on, and compare with what the server knows. (all is well, the report)."""
    rows_file = out / "rows.jsonl"
    for each in (rows_file, out / "rows.jsonl.run", out / "pages-arrivals.bin", out / "pages.json"):
        clear(each)
    tell(
        f"1. Starting an API with {PAGES * PAGE_SIZE:,} rows in pages of {PAGE_SIZE}. It allows {RATE} calls a second, "
        "takes 133 to 500 ms for one, and fails now and then: 100 a minute and 8 to 30 s, sixty times as fast."
    )
    with server("paged_server", *_options(out)) as url:
        command = ["pull", f"{url}/rows", "--out", str(rows_file), "--paginate", "offset"]
        command += ["--page-size", str(PAGE_SIZE), "--total", "total", "--limit", f"{RATE}/s", "--guard", GUARD]
        code = run_killed_half_way(command, out / "rows.jsonl.run" / "series.jsonl", PAGES // 2)
    return _judge(out, rows_file, code), write_report(rows_file)


def _options(out: Path) -> list[str]:
    options = ["--rows", str(PAGES * PAGE_SIZE), "--page-size", str(PAGE_SIZE), "--style", "offset"]
    options += [
        "--limit",
        f"{RATE}/1s",
        "--limiter",
        "sliding",
        "--latency",
        "uniform:0.1333:0.5",
        "--seed",
        str(_SEED),
    ]
    options += ["--fault", "500=0.01", "--fault", "reset=0.005", "--fault", "truncated=0.005"]
    return [*options, "--arrivals", str(out / "pages-arrivals.bin"), "--stats-out", str(out / "pages.json")]


def _judge(out: Path, rows_file: Path, code: int) -> bool:
    from ...testing import PagedApi, read_arrivals

    want = PagedApi(rows=PAGES * PAGE_SIZE, page_size=PAGE_SIZE).dataset
    expected = Counter(orjson.dumps(want[number]) for number in range(PAGES * PAGE_SIZE))
    got = Counter(orjson.dumps(orjson.loads(line)) for line in rows_file.read_bytes().splitlines())
    statistics = orjson.loads((out / "pages.json").read_bytes())
    arrivals = read_arrivals(out / "pages-arrivals.bin")
    missing, foreign = (expected - got).total(), (got - expected).total()
    checks = [
        Check("every row is there", f"{missing:,} of {expected.total():,} are missing", not missing),
        Check("no row is there twice, or is not the API's", f"{foreign:,} are", not foreign),
        *limit_checks(arrivals, RATE, statistics["limit_violations"]),
        Check("exit code 0", f"it was {code}" if code else "", code == 0),
    ]
    injected = sum(statistics["injected"].values())
    return judge(
        checks, evidence=f"the server's data and log ({len(arrivals):,} arrivals, {injected:,} faults injected)"
    )

"""`python -m tests.conformance`: run the suite through a cache that is listening already, or none."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .http_client import HttpClient
from .origin import Origin
from .recorded import compare, record
from .runner import Result, run_tests
from .suite import Suite, Test, load_suite, suite_path
from .verdicts import GOOD, by_suite, totals, verdicts


def main() -> int:
    """Parse, run, print."""
    options = _parser().parse_args()
    suite = load_suite()
    if suite is None:
        print(f"the suite is not at {suite_path()}", file=sys.stderr)
        return 2
    tests = suite.with_dependencies(options.ids.split(",")) if options.ids else suite.for_proxies()
    results = asyncio.run(_run(tests, options))
    found = verdicts(suite, results)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    print_table(suite, found)
    if options.list_failures or options.ids:
        print_failures(found, results, detail=bool(options.ids))
    if options.record:
        print(f"recorded in {record(options.record, found)}")
    return gate(options.gate, found) if options.gate else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--base", help="the cache, such as http://127.0.0.1:8080; it must point at --origin-port")
    target.add_argument("--no-cache", action="store_true", help="straight to the origin, to calibrate")
    parser.add_argument("--origin-port", type=int, default=0, help="where the origin of the suite is to listen")
    parser.add_argument("--ids", default="", help="only these tests, by comma, and what they depend on; with detail")
    parser.add_argument("--json", metavar="FILE", help="write the verdict of each test")
    parser.add_argument("--list-failures", action="store_true", help="say what is not a pass or a yes, and why")
    parser.add_argument("--record", metavar="NAME", help="keep the passes as expected/NAME.json")
    parser.add_argument("--gate", metavar="NAME", help="exit 1 where a recorded pass is none now")
    return parser


async def _run(tests: list[Test], options: argparse.Namespace) -> dict[str, Result]:
    async with Origin(options.origin_port) as origin:
        base = urlsplit(options.base or f"http://127.0.0.1:{origin.port}")
        async with HttpClient(base.hostname or "127.0.0.1", base.port or 80) as client:
            return await run_tests(tests, client, origin.state)


def print_table(suite: Suite, found: Mapping[str, str]) -> None:
    """Totals by kind and verdict, and passes by suite."""
    for kind, counted in totals(suite, found).items():
        shown = ", ".join(f"{verdict} {count}" for verdict, count in sorted(counted.items(), key=lambda c: -c[1]))
        print(f"{kind:9} {sum(counted.values()):4}: {shown}")
    print("  ".join(f"{name} {passed}/{of}" for name, (passed, of) in by_suite(suite, found).items()))


def print_failures(found: Mapping[str, str], results: Mapping[str, Result], *, detail: bool) -> None:
    """Each test that is no pass, and why."""
    for test_id, verdict in found.items():
        problem = results[test_id].problem
        if verdict not in GOOD or detail:
            print(f"{verdict:16} {test_id}: {problem.message if problem else '-'}")
        if detail:
            print("\n    ".join(["", *"\n\n".join(results[test_id].detail).split("\n")]))


def gate(name: str, found: Mapping[str, str]) -> int:
    """1 with a list of what passed before and does not now."""
    worse, better = compare(name, found)
    for test_id in better:
        print(f"better than recorded: {test_id}")
    for test_id in worse:
        print(f"WORSE than recorded: {test_id} ({found.get(test_id, 'not run')})")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

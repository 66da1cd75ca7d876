"""`python -m tests.conformance`: judge a cache that runs already, one that is started for it, or none."""

# ruff: noqa: T201  # printing is its job

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .compare import compare, record, table
from .http_client import HttpClient
from .in_process import run_in_process
from .origin import Origin
from .proxies import PROXIES
from .runner import Result, run_tests, wait_for_origin
from .suite import Suite, Test, load_suite, suite_path
from .verdicts import PASSES, verdicts


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 where a gate is not passed, 2 where the suite, an id or the origin is not there."""
    options = parser().parse_args(arguments)
    suite = load_suite()
    if suite is None:
        print(f"there is no suite at {suite_path()}; PENSTOCK_CACHE_TESTS may name it", file=sys.stderr)
        return 2
    wanted = [each for each in (options.ids or "").split(",") if each]
    unknown = [each for each in wanted if each not in suite.tests]
    if unknown:
        print(f"no such test: {', '.join(unknown)}", file=sys.stderr)
        return 2
    tests = suite.with_dependencies(wanted) if wanted else suite.for_proxies()
    try:
        results = run(tests, options)
    except TimeoutError:
        print("the origin's answers do not come through the cache: where does it point?", file=sys.stderr)
        return 2
    found = verdicts(suite, {each: result.kind for each, result in results.items()})
    report(suite, results, found, wanted, options)
    return finish(suite, found, options)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    cache = made.add_mutually_exclusive_group(required=True)
    cache.add_argument("--base", metavar="URL", help="a proxy that runs already and points at --origin-port")
    cache.add_argument("--no-cache", action="store_true", help="straight against the origin")
    cache.add_argument("--proxy", choices=sorted(PROXIES), help="start this proxy")
    cache.add_argument("--in-process", metavar="MODULE:NAME", help="make_app(origin_app, clock), in virtual time")
    made.add_argument("--origin-port", type=int, default=0, metavar="N", help="where the origin is to listen")
    made.add_argument("--ids", metavar="A,B", help="only these and what they depend on; shows what went over the wire")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts by test id")
    made.add_argument("--list-failures", action="store_true", help="name every test that did not pass, and why")
    made.add_argument("--record", metavar="NAME", help="write expected/NAME.json")
    made.add_argument("--gate", metavar="NAME", help="exit with 1 if a test of expected/NAME.json no longer passes")
    return made


def run(tests: list[Test], options: argparse.Namespace) -> dict[str, Result]:
    """Run the tests against what the options name."""
    if options.in_process:
        module, _, name = options.in_process.partition(":")
        ran = run_in_process(tests, getattr(importlib.import_module(module), name))
        for error in ran.app_errors:
            print(f"the app raised {error!r}", file=sys.stderr)
        return ran.results
    return asyncio.run(run_over_sockets(tests, options))


async def run_over_sockets(tests: list[Test], options: Any) -> dict[str, Result]:
    """The same over real sockets and in real time."""
    async with Origin(options.origin_port) as origin:
        if options.proxy:
            async with PROXIES[options.proxy](origin.port) as port:
                return await run_against(tests, origin, "127.0.0.1", port)
        if options.no_cache:
            return await run_against(tests, origin, "127.0.0.1", origin.port)
        base = urlsplit(options.base)
        return await run_against(tests, origin, base.hostname or "127.0.0.1", base.port or 80)


async def run_against(tests: list[Test], origin: Origin, host: str, port: int) -> dict[str, Result]:
    """Run the tests through what listens at host and port and has this origin behind it."""
    async with HttpClient(host, port) as client:
        await wait_for_origin(client)
        return await run_tests(tests, origin.state, client)


def report(
    suite: Suite, results: dict[str, Result], found: dict[str, str], wanted: list[str], options: argparse.Namespace
) -> None:
    """Print what came out."""
    for each in wanted:
        result = results.get(each)
        print(f"=== {each}: {found[each]} {result.message if result else '(not run against proxies)'}")
        if result is not None:
            print(result.shown(), end="\n\n")
    if options.list_failures:
        for each, result in results.items():
            if found[each] not in PASSES:
                print(f"{suite.tests[each].kind:<8} {found[each]:<15} {each}: {result.message or result.kind}")
        print()
    if not wanted:
        print(table(suite, found))
        raw = Counter(result.kind for result in results.values())
        print("\nBefore dependencies: " + ", ".join(f"{count} {kind}" for kind, count in sorted(raw.items())))


def finish(suite: Suite, found: dict[str, str], options: argparse.Namespace) -> int:
    """Write and compare what the options ask for; the exit code."""
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.record:
        print(f"recorded in {record(suite, found, options.record)}")
    if not options.gate:
        return 0
    regressions, improvements = compare(found, options.gate)
    for word, ids in (("no longer pass", regressions), ("newly pass", improvements)):
        if ids:
            print(f"{len(ids)} tests {word}: {', '.join(ids)}")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())

"""`penstock demo`: what penstock does in about a minute, on servers of its own, with a kill -9 in the middle."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...errors import OutputError, UsageError
from ...extras import how_to_install
from .cache_part import serve_from_cache
from .census_part import take_census
from .pull_part import pull_rows
from .stage import tell


@click.command()
@click.argument("part", type=click.Choice(["jobs", "cache", "move"]), default="jobs", metavar="[jobs|cache|move]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="A folder.")
@click.option("--vectors", type=click.IntRange(min=1000), default=18_000, show_default=True, help="How many.")
@click.option(
    "--rate", type=click.IntRange(min=10), default=600, show_default=True, help="The census's limit a second."
)
@click.option(
    "--seconds",
    type=click.IntRange(min=8),
    default=None,
    help="How long the cache is shown, or arms are measured. [default: 15; 24 for arms]",
)
@click.option(
    "--requests",
    type=click.IntRange(min=10),
    default=None,
    help="A second, to the cache or to the service with arms. [default: 1500; 60 for arms]",
)
def demo(part: str, out: Path, vectors: int, rate: int, seconds: int | None, requests: int | None) -> int:
    """Show what penstock does, and check the results; without an argument, the jobs.

    jobs: pull a slow API and take a census of a faulty one, be killed half-way, and go on.
    cache: put the proxy in front of an app, purge, kill the app and start it again.
    move: measure an async arm of a sync route, roll it out, break it, and see it taken back.

    Everything happens on this machine: the servers listen on loopback, and keep a log or count of every arrival.
    """
    if part == "cache":
        return 0 if serve_from_cache(seconds or 15, requests or 1500) else 1
    if part == "move":
        from .move_part import move_routes

        return 0 if move_routes(seconds or 24, requests or 60) else 1
    return _jobs(out, vectors, rate)


def _jobs(out: Path, vectors: int, rate: int) -> int:
    try:
        import numpy as np  # noqa: F401
    except ImportError:
        raise UsageError(f"penstock demo needs numpy: {how_to_install('vectors')}") from None
    marker = out / "vectors.bin"
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise OutputError(f"--out {out} holds something else; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    # A demo that is interrupted must not take its own folder for somebody else's.
    marker.touch()
    pulled, pull_report = pull_rows(out)
    tell("")
    counted, census_report = take_census(out, vectors, rate)
    tell(
        f"""
What to look at, the first two in a browser:
  {pull_report}
      what happened, for somebody who was not there
  {census_report}
      the same of the census
  {out}/rows.jsonl
      the rows, each exactly once
  {out}/census/findings.jsonl
      the vectors that were not found as they should be
What to try next, with the command of this environment
({Path(sys.executable).parent}):
  penstock pull --help    every row of an API of your own
  penstock send --help    one call per record of your own .jsonl or .csv
  penstock check --help   a census of your own search API
  penstock demo cache     the other direction: a cache in front of an app
  penstock demo move      the third: a sync service becomes async where it pays
"""
    )
    return 0 if pulled and counted else 1

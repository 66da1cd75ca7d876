"""`penstock demo`: the main jobs in about a minute, on servers of its own, with a kill -9 in the middle of each."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...errors import OutputError, UsageError
from .census_part import take_census
from .pull_part import pull_rows
from .stage import tell


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="A folder.")
@click.option("--vectors", type=click.IntRange(min=1000), default=18_000, show_default=True, help="How many.")
@click.option(
    "--rate", type=click.IntRange(min=10), default=600, show_default=True, help="The census's limit a second."
)
def demo(out: Path, vectors: int, rate: int) -> int:
    """Pull a slow API and take a census of a faulty one; be killed half-way, go on, and check the results.

    Everything happens on this machine: the servers listen on loopback, and keep a log of every arrival.
    """
    try:
        import numpy as np  # noqa: F401
    except ImportError:
        raise UsageError("penstock demo needs numpy: pip install 'penstock[vectors]'") from None
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
"""
    )
    return 0 if pulled and counted else 1

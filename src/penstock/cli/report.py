"""`penstock report`."""

from __future__ import annotations

from pathlib import Path

import click

from ..clock import SYSTEM_CLOCK
from ..errors import OutputError
from .terminal import echo

_EXAMPLES = """
\b
Examples:
  penstock report done.jsonl
  penstock report census --html /tmp/census.html --png census.png
"""


@click.command(epilog=_EXAMPLES, short_help="What a run looked like, as one HTML page.")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--html", type=click.Path(path_type=Path), default=None, help="Where to write it. [default: OUT.report.html]"
)
@click.option(
    "--png", type=click.Path(path_type=Path), default=None, help="Also its charts (needs the extra 'report')."
)
@click.option("--quiet", is_flag=True, help="Do not say what was written; errors only.")
def report(out: Path, html: Path | None, png: Path | None, quiet: bool) -> int:
    """Write what became of the run of OUT as one HTML page that needs nothing else.

    OUT is the output of send or pull, the folder of check, or a run folder. The run may be finished, killed, or still
    going; it is only read.
    """
    from ..report.load import load_run
    from ..report.page import make_page, sentence

    record = load_run(out)
    target = html if html is not None else record.out.with_name(record.out.name + ".report.html")
    page = make_page(record, now=SYSTEM_CLOCK.wall())
    try:
        target.write_text(page, "utf-8")
    except OSError as error:
        raise OutputError(f"--html {target}: {error.strerror or error}") from error
    if png is not None:
        from ..report.png import write_png

        write_png(record, png)
    if not quiet:
        echo(sentence(record), err=False)
        echo(f"  page      {target}", err=False)
        if png is not None:
            echo(f"  picture   {png}", err=False)
    return 0

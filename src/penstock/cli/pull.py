"""`penstock pull`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..outbound.pull import PullJob, PullRun, open_pull
from ..rules.pagination.extent import StopOn
from ..rules.pagination.style import STYLES, URL_STYLES, Paging
from ..rules.retries.verdict import RetryOn
from .loop import run_loop
from .options import environment_with_token, flow_options, follow_redirects, show_options, take, take_flow
from .output import finish_output
from .shown import shown
from .summary import exit_code_of
from .texts import Gauge

_EXAMPLES = """
\b
Examples:
  penstock pull https://api.example.com/orders --out orders.jsonl --limit 100/min
  penstock pull https://api.example.com/orders --out orders.csv --paginate offset --page-size 100 \\
      --rows items --total total --limit 100/min
  penstock pull https://api.example.com/orders --out orders.parquet --paginate cursor --cursor-param after \\
      --rows data --next paging.after --header 'Authorization: Bearer ${TOKEN}'
  penstock pull https://api.example.com/orders --out orders.sqlite --paginate link --key id
"""


@click.command(epilog=_EXAMPLES, short_help="Every row of a paginated API.")
@click.argument("url", metavar="URL")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The output; its ending says which format: .jsonl, .ndjson, .csv, .parquet, .sqlite, .sqlite3, .db.",
)
@click.option(
    "--paginate",
    "style",
    type=click.Choice(["auto", *STYLES]),
    default="auto",
    show_default=True,
    help="How the API pages. auto: look at its first answer, and say what was found.",
)
@click.option("--page-size", type=click.IntRange(min=1), default=None, help="Rows to ask for. [default: the API's own]")
@click.option("--size-param", metavar="NAME", default=None, help="[default: limit; per_page for page and link]")
@click.option("--offset-param", metavar="NAME", default=None, help="With offset. [default: offset]")
@click.option("--first-row", type=int, default=None, help="With offset, what the API calls its first row. [default: 0]")
@click.option("--page-param", metavar="NAME", default=None, help="With page. [default: page]")
@click.option("--cursor-param", metavar="NAME", default=None, help="With cursor. [default: cursor]")
@click.option(
    "--rows", metavar="JMESPATH", default=None, help="Where the rows are. [default: the list in the first answer]"
)
@click.option(
    "--total", metavar="JMESPATH", default=None, help="Where the number of all rows is; header:NAME for a header."
)
@click.option(
    "--total-pages",
    metavar="JMESPATH",
    default=None,
    help="With offset and page, where the number of all pages is; header:NAME for a header.",
)
@click.option(
    "--more",
    metavar="JMESPATH",
    default=None,
    help="Where it says whether there are more rows; false ends the pull, whatever token is named. '!done' turns it.",
)
@click.option(
    "--next",
    metavar="JMESPATH",
    default=None,
    help="Where the token or URL of the next page is; header:NAME for a header. [default: next_cursor with cursor, "
    "next with next-url]",
)
@click.option("--start", metavar="TOKEN|N", default=None, help="Begin there. [default: offset 0, page 1, no token]")
@click.option("--max-pages", "most_pages", type=click.IntRange(min=1), default=None, help="At most so many pages.")
@click.option(
    "--stop-on",
    metavar="empty|short|STATUS",
    multiple=True,
    default=["empty"],
    show_default="empty",
    help="What is beyond the last page: empty pages; short: also what follows a page that is not full (with offset and "
    "page); 404 or another status: also that. Can be repeated.",
)
@click.option("--key", metavar="FIELD|JMESPATH", default=None, help="Drop rows whose key was written before.")
@click.option(
    "--on-repeat",
    type=click.Choice(["stop", "keep"]),
    default="stop",
    show_default=True,
    help="What pages do that hold the very rows of earlier ones: they end the pull and are dropped, or are kept.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="HOST",
    multiple=True,
    help="Next pages may be there, too, and get your headers.",
)
@click.option(
    "--header", "headers", multiple=True, help="'Name: value'; ${ENV} is replaced and never stored, here and in URL."
)
@follow_redirects
@click.option("--fresh", is_flag=True, help="Throw away OUT and its run folder first.")
@flow_options(RetryOn.SAFE)
@show_options
def pull(**options: Any) -> int:
    """Get every row of the paginated API at URL.

    OUT gets every row exactly as often as the API has it, also after kill -9: the same command goes on where it
    stopped. What the run needs for that is in OUT.run. A table is written when the run has come to its end.

    Exit code 1 also when fewer rows came than the API promised.
    """
    with shown("pull", options) as show:
        job = _job(options)
        show.hides(job.secrets())
        with open_pull(job, show.say) as run:
            summary = run_loop(run.carry_out(show.watch(str(job.out), lambda: _gauge(run))))
            out = finish_output(summary, job.out, run.rows, run.write_table, say=show.say)
        for text in _remarks(summary):
            show.say(text)
        show.finish(summary, out)
    return exit_code_of(summary, wrong=summary["failed_pages"] or summary["short"])


def _remarks(summary: dict[str, Any]) -> Iterator[str]:
    """What the next command could be."""
    if summary["already_complete"]:
        yield "was finished already: nothing was asked; --fresh pulls it again"
    elif summary["complete"] and summary["short"] and not summary["failed_pages"]:
        yield "rows may be missing, and the same command asks for nothing more: --fresh pulls all of it again"


def _gauge(run: PullRun) -> Gauge:
    tally = run.tally
    promised = "" if tally.promised is None else f" of {tally.promised:,}"
    # A look beyond the last promised page makes one more.
    total = None if tally.promised_pages is None else max(tally.promised_pages, tally.pages)
    return Gauge(total=total, unit="pages", text=f"{tally.written:,}{promised} rows")


def _job(options: dict[str, Any]) -> PullJob:
    variables = environment_with_token(options)
    paging = take(Paging, options)
    if paging["start"] is not None:
        fill = variables.url if paging["style"] in URL_STYLES else variables.text
        paging["start"] = fill("--start", paging["start"])
    return PullJob(
        url=variables.url("URL", options.pop("url")),
        paging=Paging(**paging),
        flow=take_flow(options, variables),
        headers=tuple(map(variables.header, options.pop("headers"))),
        stop_on=StopOn.read(options.pop("stop_on")),
        keep_repeats=options.pop("on_repeat") == "keep",
        **options,
        given=variables.given(),
    )

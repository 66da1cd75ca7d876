"""`penstock send`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..messages import Headers
from ..outbound.request_template import RequestTemplate
from ..outbound.send import SendJob, open_send
from ..rules.retries.verdict import RetryOn
from ..scale.local import carry_out_in_processes, check_processes
from .child import COMMAND
from .loop import run_loop
from .options import environment_with_token, flow_options, follow_redirects, show_options, take, take_flow
from .output import finish_output
from .shown import shown
from .summary import exit_code

_EXAMPLES = """
\b
Examples:
  penstock send orders.jsonl --url https://api.example.com/orders --out done.jsonl --limit 100/min
  penstock send ids.csv --method GET --url 'https://api.example.com/items/{id}' --key id --out items.jsonl
  penstock send q.jsonl --url https://search.example.com/q --body '{"query": "{text}", "top_k": 1}' \\
      --header 'Authorization: Bearer ${TOKEN}' --extract 'hits[0].id' --out hits.jsonl
  penstock send orders.jsonl --url https://api.example.com/orders --out done.jsonl --retry-failed
"""


@click.command(epilog=_EXAMPLES, short_help="One call per input record.")
@click.argument("source", metavar="INPUT", type=click.Path(allow_dash=True))
@click.option("--url", required=True, help="Where to; {field} is replaced by that field of the record.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The output, one record per item: JSON lines, or a table as .csv, .parquet or .sqlite.",
)
@click.option("--method", default="POST", show_default=True, help="The HTTP method.")
@click.option(
    "--body",
    default=None,
    help='JSON with placeholders: in {"q": "{text}"} the string becomes the field\'s JSON value. '
    "[default: the whole record]",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    help="'Name: value'; ${ENV} is replaced from the environment and never stored, here, in --url and in --body.",
)
@click.option("--key", default=None, help="The field that names a record in the output. [default: its position]")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default=None, help="Of INPUT, by its name.")
@click.option(
    "--on-bad-record",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="fail: nothing is sent while the input has malformed records; skip: they get a failure record.",
)
@click.option("--idempotency-key", metavar="NAME", default=None, help="Send a header NAME, the same for all attempts.")
@click.option("--extract", metavar="JMESPATH", default=None, help="What to keep of an answer. [default: all of it]")
@click.option("--expect", metavar="JMESPATH", default=None, help="An answer for which this is false is a failure.")
@click.option(
    "--answer",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="json: an answer that is not JSON is a failure; text: keep it as it is.",
)
@follow_redirects
@click.option("--retry-failed", is_flag=True, help="Do the failed items of a finished or stopped run again.")
@click.option("--fresh", is_flag=True, help="Throw away OUT and its run folder first.")
@click.option(
    "--processes",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    help="Spread the calls over so many processes, for servers that answer faster than one core can ask.",
)
@click.option(
    "--limit-by",
    metavar="host|FIELD",
    default=None,
    help="Each host, or each value of this field, has the limits for itself.",
)
@flow_options(RetryOn.SAFE)
@show_options
def send(**options: Any) -> int:
    """Make one HTTP call for every record of INPUT (.jsonl, .csv or - for standard input).

    OUT gets exactly one record per item, also after kill -9: the same command goes on where it stopped. What the
    run needs for that is in OUT.run. A table is written when the run has come to its end.
    """
    processes = options.pop("processes")
    with shown("send", options) as show:
        job = _job(options)
        show.hides(job.secrets())
        check_processes(job.flow, processes)
        with open_send(job, show.reading) as run:
            if job.template.all_alike and run.total > 1:
                show.say(
                    f"careful: all {run.total:,} requests are the same, because nothing in them names a field of the "
                    "records; a field is written {name}, in --url, --body or --header"
                )
            watch = show.watch(str(job.out))
            many = processes > 1
            summary = run_loop(carry_out_in_processes(run, processes, COMMAND, watch) if many else run.carry_out(watch))
            out = finish_output(summary, job.out, run.rows, run.write_table, say=show.say)
        show.finish(summary, out)
    return exit_code(summary)


def _job(options: dict[str, Any]) -> SendJob:
    source, template = options.pop("source"), take(RequestTemplate, options)
    variables = environment_with_token(options)
    template["method"] = template["method"].upper()
    template["headers"] = tuple(map(variables.header, template["headers"]))
    template["url"] = variables.url("--url", template["url"])
    if template["body"] is not None:
        kind = Headers(template["headers"]).get("content-type")
        template["body"] = variables.body("--body", template["body"], kind)
    return SendJob(
        source=None if source == "-" else Path(source),
        template=RequestTemplate(**template),
        flow=take_flow(options, variables),
        text=options.pop("answer") == "text",
        skip_bad_records=options.pop("on_bad_record") == "skip",
        **options,
        given=variables.given(),
    )

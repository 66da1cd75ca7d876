"""`penstock move bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...errors import Stopped, UsageError
from ...rules.duration import parse_duration
from ...rules.moving.share import parse_share
from ..terminal import echo

_EXAMPLES = """
\b
Examples:
  penstock move bench app:app 'GET /items' control client async --p99 120ms
  penstock move bench app:app 'GET /quote/{id}' control async --p99 120ms --requests urls.jsonl
  penstock move bench app:app 'GET /items' control async --p99 120ms --peak 10000/s --cost 0.17/h
  penstock move bench app:app 'GET /items' control control --p99 120ms
"""
_GRANIAN = "granian, or uvicorn where that is not there"


@click.command(epilog=_EXAMPLES, short_help="What each arm of a route costs and can take.")
@click.argument("app", metavar="APP")
@click.argument("route", metavar="ROUTE")
@click.argument("arms", metavar="ARM...", nargs=-1, required=True)
@click.option("--p99", required=True, help="What 99 of 100 requests must keep: 120ms.")
@click.option(
    "--requests",
    type=click.Path(path_type=Path),
    default=None,
    help='What to send, a line each: {"method", "path", "headers", "body"}. [default: the route, if it is a plain GET]',
)
@click.option("--peak", default=None, help="Requests a second to count instances for: 10000/s.")
@click.option("--cost", default=None, help="What an instance costs: 0.17/h. Goes with --peak.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Of the server.")
@click.option(
    "--server", default=None, help=f"Its command, with {{app}}, {{port}} and {{workers}}. [default: {_GRANIAN}]"
)
@click.option("--precision", default="3%", show_default=True, help="How well the ratio must be known.")
@click.option("--max-time", default="3m", show_default=True, help="After that, what is known is said.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--quiet", is_flag=True, help="Only the result.")
def bench(**options: Any) -> int:
    """Measure arms of ROUTE against its control: CPU a request, the highest rate that keeps --p99, what limits each.

    APP is module:app, or module:make() for a function that makes it. The same server runs once for each arm, with
    PENSTOCK_ARM set, and gets the same load, request by request in turn. `control control` measures the route against
    itself.

    \b
    Exit codes:
      0  something can be said
      1  an arm is slower than the control
      2  nothing can be said, with the reason; or bad input
      3  interrupted
    """  # noqa: D301
    import orjson

    from ...migrate.bench.order import run_order

    order = _order(options)
    quiet = options["quiet"]
    try:
        report = run_order(order, lambda line: None if quiet else echo(line))
    except KeyboardInterrupt:
        raise Stopped("interrupted; nothing is said, and no server is left") from None
    if options["as_json"]:
        echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2).decode(), err=False)
    else:
        for line in report.lines():
            echo(line, err=False)
    return report.exit_code()


def _order(options: dict[str, Any]) -> Any:
    from ...migrate.bench.order import BenchOrder
    from ...rules.moving.money import parse_cost, parse_peak

    if options["cost"] is not None and options["peak"] is None:
        raise UsageError("--cost goes with --peak: without it no instances are counted")
    return BenchOrder(
        app=options["app"],
        route=" ".join(options["route"].split()),
        arms=tuple(options["arms"]),
        target=parse_duration(options["p99"], needs_unit=True),
        requests=options["requests"],
        server=options["server"],
        workers=options["workers"],
        precision=_precision(options["precision"]),
        seconds=parse_duration(options["max_time"]),
        peak=None if options["peak"] is None else parse_peak(options["peak"]),
        cost=None if options["cost"] is None else parse_cost(options["cost"]),
    )


def _precision(text: str) -> float:
    try:
        precision = parse_share(text)
    except UsageError:
        precision = 0.0
    if not 0.005 <= precision <= 0.5:
        raise UsageError(f"--precision {text!r}: write a percentage from 0.5% to 50%")
    return precision

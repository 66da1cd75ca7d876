"""`penstock status`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from ..clock import SYSTEM_CLOCK
from ..report.axes import duration
from ..runs.origin_faults import in_words
from .terminal import folded
from .texts import REASON_LENGTH, eta_text, kinds_text, rate_text, shorten

_REDRAW_SECONDS = 1.0
_EXAMPLES = """
\b
Examples:
  penstock status done.jsonl
  penstock status done.jsonl --watch
  penstock status done.jsonl --json | jq .eta_s
"""
_STATES = {
    "running": "running",
    "complete": "finished",
    "stopped": "stopped; the same command goes on from there",
    "interrupted": "interrupted; the same command goes on from there",
    "error": "stopped by an error; the same command goes on from there",
    "killed": "killed, its process is gone; the same command goes on from there",
    "new": "begun, and nothing sent yet; the same command goes on from there",
}


@click.command(epilog=_EXAMPLES, short_help="How far a run is, from another terminal.")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Show it again every second until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output; with --watch a line each time.")
def status(out: Path, watch: bool, as_json: bool) -> int:
    """Show how far the run of OUT is; it is only read, and the run does not notice.

    OUT is the output of send or pull, the folder of check, or a run folder. Exit code 0: running, or finished without
    failures; 1: finished, something failed; 3: stopped before the end.
    """
    if not watch:
        state, code = _look(out)
        _show(state, as_json=as_json, lines_above=0)
        return code
    return asyncio.run(_watch(out, as_json=as_json))


async def _watch(out: Path, *, as_json: bool) -> int:
    lines_above = 0
    while True:
        state, code = _look(out)
        shown = _show(state, as_json=as_json, lines_above=lines_above, one_line=as_json)
        lines_above = shown if sys.stdout.isatty() and not as_json else 0
        if state["state"] != "running":
            return code
        await SYSTEM_CLOCK.sleep(_REDRAW_SECONDS)


def _look(out: Path) -> tuple[dict[str, Any], int]:
    from ..report.load import load_run
    from ..report.state import exit_code, run_state

    record = load_run(out, tail=True)
    state = run_state(record, SYSTEM_CLOCK.wall())
    not_right = record.summary.get("not_right")
    return state, exit_code(state, not_right if isinstance(not_right, int) else 0)


def _show(state: dict[str, Any], *, as_json: bool, lines_above: int, one_line: bool = False) -> int:
    """Print it over the `lines_above` lines printed before; returns how many lines there are now."""
    if as_json:
        options = orjson.OPT_APPEND_NEWLINE | (0 if one_line else orjson.OPT_INDENT_2)
        sys.stdout.write(orjson.dumps(state, option=options).decode())
        sys.stdout.flush()
        return 0
    lines = folded("\n".join(status_lines(state)), err=False)
    if lines_above:
        # Up to the first of them, and clear from there on.
        click.echo(f"\x1b[{lines_above}F\x1b[J", nl=False)
    click.echo("\n".join(lines))
    return len(lines)


def status_lines(state: dict[str, Any]) -> list[str]:
    """The state for people, in the words of the summary."""
    total = f" of {max(state['total'], state['items']):,}" if state["total"] is not None else ""
    share = f" ({min(1.0, state['items'] / state['total']):.1%})" if state["total"] else ""
    lines = [
        f"{state['out']}: {_STATES.get(state['state'], state['state'])}{_process(state)}",
        f"  done      {state['items']:,}{total} {_unit(state)}{share}, {state['ok']:,} ok, {state['failed']:,} failed"
        f"{kinds_text(state['by_kind'])}",
        f"  sent      {state['attempts']:,} attempts, {state['retries']:,} retries, {state['throttled']:,} throttled",
    ]
    if state["state"] == "running":
        limits = f" of {' and '.join(state['limits'])}" if state["limits"] else ""
        lines.append(f"  rate      {_rate_text(state)}{limits}, {_in_flight(state)}")
        if state["total"] is not None:
            left = max(0, state["total"] - state["items"])
            pace = f", at this pace done in {eta_text(left, state['items_per_s'])}" if state["items_per_s"] else ""
            lines.append(f"  left      {left:,}{pace}")
    if state["message"]:
        lines.append(f"  error     {state['message']}")
    return lines + _troubles(state)


def _unit(state: dict[str, Any]) -> str:
    if state["rows"] is None:
        return "items"
    promised = "" if state["rows_promised"] is None else f" of {state['rows_promised']:,}"
    return f"pages, {state['rows']:,}{promised} rows"


def _process(state: dict[str, Any]) -> str:
    if state["state"] != "running":
        return ""
    pid = f" as process {state['pid']}" if state["pid"] is not None else ""
    resumed = f", session {state['sessions']}" if state["sessions"] > 1 else ""
    return f"{pid} for {duration(state['elapsed_s'])}{resumed}"


def _rate_text(state: dict[str, Any]) -> str:
    rate, limits = state["rate_per_s"], state["limits"]
    if limits:
        return rate_text(rate, limits)
    return f"{rate:,.1f}/s" if rate >= 1 or not rate else f"{rate * 60:,.1f}/min"


def _in_flight(state: dict[str, Any]) -> str:
    ceiling = f" (at most {state['in_flight_ceiling']:,})" if state["in_flight_ceiling"] is not None else ""
    parked = f", {state['parked']:,} parked" if state["parked"] else ""
    return f"{state['in_flight']:,} in flight{ceiling}{parked}"


def _outage(state: dict[str, Any]) -> str:
    reason = f" ({shorten(state['down_reason'], REASON_LENGTH)})" if state["down_reason"] else ""
    until = f", until it has been down for {duration(state['max_outage_s'])}" if state["max_outage_s"] else ""
    return f"the host is taken to be down for {duration(max(1.0, state['down_for_s']))}{reason}; it is probed{until}"


def _troubles(state: dict[str, Any]) -> list[str]:
    lines = [f"  careful   {each}" for each in in_words(state["unasked_answers"], state["died_connections"])]
    if state["paused_for_s"]:
        lines.append(f"  paused    for another {state['paused_for_s']:,.0f} s, as the server asked")
    if state["down_for_s"] is not None:
        lines.append(f"  outage    {_outage(state)}")
    if state["silent_s"]:
        lines.append(f"  careful   no sample for {state['silent_s']:,.0f} s; the process may hang or be suspended")
    return lines

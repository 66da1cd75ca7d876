"""`penstock top`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from ..clock import SYSTEM_CLOCK
from ..errors import UsageError
from .proxy_admin import AdminClient, client_options, read_token
from .top_reading import CacheReading, read_between

_SECONDS = 1.0
_MOST_ROWS = 200
_EXAMPLES = """
\b
Examples:
  penstock top --admin http://127.0.0.1:8081
  penstock top --admin http://127.0.0.1:8081 --with-query --rows 30
  penstock top --admin http://127.0.0.1:8081 --once --json | jq .hit_rate
"""


@click.command(epilog=_EXAMPLES, short_help="What a running proxy does, live.")
@client_options
@click.option("--with-query", is_flag=True, help="Show URLs with their query, which may hold secrets.")
@click.option(
    "--rows",
    type=click.IntRange(0, _MOST_ROWS),
    default=None,
    help="URLs and misses shown. [default: what fits on the terminal; 10 with --once or --json]",
)
@click.option("--once", is_flag=True, help="Show one second and end.")
@click.option("--json", "as_json", is_flag=True, help="As JSON lines on standard output, one a second.")
def top(
    admin: str | None, admin_token_file: Path | None, with_query: bool, rows: int | None, once: bool, as_json: bool
) -> int:
    """Show every second: hit rate, requests the app was spared, the URLs missed most and why, and those asked for most.

    On a terminal the keys m and u show the misses or the URLs alone, q shows queries or hides them, and Ctrl-C ends it.

    Exit code 0; 2: wrong usage, or the admin address could not be reached or refused the token.
    """
    if admin is None:
        raise UsageError("top needs --admin, the admin address of the proxy, such as http://127.0.0.1:8081")
    client = AdminClient(admin, read_token(admin_token_file))
    live = not (as_json or once) and sys.stdout.isatty()
    try:
        asyncio.run(_watch(client, 10 if rows is None and not live else rows, with_query, live, once, as_json))
    except KeyboardInterrupt:
        # That is how it ends.
        return 0
    return 0


async def _watch(
    client: AdminClient, rows: int | None, with_query: bool, live: bool, once: bool, as_json: bool
) -> None:
    from .keys import Keys
    from .top_view import TopView

    async with client:
        with TopView(client.url, live=live, rows=rows, with_query=with_query) as view:
            before = await client.get("/stats", _asked_for(view))
            with Keys(view.pressed) if live else contextlib.nullcontext():
                while True:
                    await SYSTEM_CLOCK.sleep(_SECONDS)
                    try:
                        now = await client.get("/stats", _asked_for(view))
                    except UsageError as error:
                        if once or not live:
                            raise
                        view.lost(str(error))
                        continue
                    reading = read_between(before, now)
                    before = now
                    if reading is not None:
                        _show(view, reading, as_json=as_json)
                        if once:
                            return


def _asked_for(view: Any) -> list[tuple[str, str]]:
    return [("top", str(min(_MOST_ROWS, view.most_rows))), ("with_query", "1" if view.with_query else "0")]


def _show(view: Any, reading: CacheReading, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(reading.as_json(), option=orjson.OPT_APPEND_NEWLINE).decode())
        sys.stdout.flush()
    else:
        view.show(reading)

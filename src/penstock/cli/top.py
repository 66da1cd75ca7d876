"""`penstock top`."""

from __future__ import annotations

import asyncio
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
@click.option("--rows", type=click.IntRange(0, 200), default=10, show_default=True, help="URLs and misses shown.")
@click.option("--once", is_flag=True, help="Show one second and end.")
@click.option("--json", "as_json", is_flag=True, help="As JSON lines on standard output, one a second.")
def top(
    admin: str | None, admin_token_file: Path | None, with_query: bool, rows: int, once: bool, as_json: bool
) -> int:
    """Show every second: hit rate, requests the app was spared, the URLs asked for most, and those missed most and why.

    Ctrl-C ends it. Exit code 0; 2: wrong usage, or the admin address could not be reached or refused the token.
    """
    if admin is None:
        raise UsageError("top needs --admin, the admin address of the proxy, such as http://127.0.0.1:8081")
    client = AdminClient(admin, read_token(admin_token_file))
    parameters = [("top", str(rows)), ("with_query", "1" if with_query else "0")]
    try:
        asyncio.run(_watch(client, parameters, once=once, as_json=as_json))
    except KeyboardInterrupt:
        # That is how it ends.
        return 0
    return 0


async def _watch(client: AdminClient, parameters: list[tuple[str, str]], *, once: bool, as_json: bool) -> None:
    from .top_view import TopView

    async with client:
        before = await client.get("/stats", parameters)
        live = not (as_json or once) and sys.stdout.isatty()
        with TopView(client.url, live=live) as view:
            while True:
                await SYSTEM_CLOCK.sleep(_SECONDS)
                try:
                    now = await client.get("/stats", parameters)
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


def _show(view: Any, reading: CacheReading, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(reading.as_json(), option=orjson.OPT_APPEND_NEWLINE).decode())
        sys.stdout.flush()
    else:
        view.show(reading)

"""`penstock purge`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from ..errors import UsageError
from ..inbound.cache.purging import MAX_NAMES, checked_tag, requests_for
from ..inbound.proxy.admin import MAX_BODY
from .proxy_admin import AdminClient, client_options, read_token

_EXAMPLES = """
\b
Examples:
  penstock purge --admin http://127.0.0.1:8081 --url https://shop.example/products/7
  penstock purge --admin http://127.0.0.1:8081 --tag product-7 --tag front-page --soft
  penstock purge --admin http://127.0.0.1:8081 --all
"""
_ROOM = 100
"""Bytes of a purge besides its names."""


@click.command(epilog=_EXAMPLES, short_help="Take answers out of a running proxy's cache.")
@client_options
@click.option("--url", "urls", multiple=True, metavar="URL", help="As clients ask for it, all variants. Repeatable.")
@click.option("--tag", "tags", multiple=True, help="Of Surrogate-Key, Cache-Tag or the policy. Repeatable.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Send it once more, as a stale answer, while a new one is fetched.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
def purge(
    admin: str | None,
    admin_token_file: Path | None,
    urls: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    soft: bool,
    as_json: bool,
) -> int:
    """Purge by URL, by tag, or everything: from then on nobody gets what was stored, or was being fetched, before.

    Exit code 0: done, also where nothing was stored. 2: wrong usage, or the admin address could not be reached or
    refused the token.
    """
    if admin is None:
        raise UsageError("purge needs --admin, the admin address of the proxy, such as http://127.0.0.1:8081")
    if everything == bool(urls or tags):
        raise UsageError("give --url or --tag, or --all alone")
    for url in urls:
        requests_for(url)
    for tag in tags:
        checked_tag(tag)
    parts = [{"all": True}] if everything else [*_parts(urls, tags)]
    answer = asyncio.run(_purge(AdminClient(admin, read_token(admin_token_file)), parts, soft=soft))
    _show(answer, as_json=as_json, urls=urls)
    return 0


async def _purge(client: AdminClient, parts: list[dict[str, Any]], *, soft: bool) -> dict[str, Any]:
    purged, seconds = 0, 0.0
    async with client:
        for part in parts:
            answer = await client.post("/purge", {**part, "soft": soft})
            purged += int(answer["purged"])
            seconds += float(answer["seconds"])
    return {"purged": purged, "soft": soft, "seconds": seconds}


def _parts(urls: tuple[str, ...], tags: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The purges that it takes, each within the bounds of one."""
    part: dict[str, list[str]] = {"url": [], "tag": []}
    size = count = 0
    for kind, name in [*(("url", url) for url in urls), *(("tag", tag) for tag in tags)]:
        length = len(orjson.dumps(name)) + 1
        if count == MAX_NAMES or (count and size + length > MAX_BODY - _ROOM):
            yield part
            part, size, count = {"url": [], "tag": []}, 0, 0
        part[kind].append(name)
        size += length
        count += 1
    yield part


def _show(answer: dict[str, Any], *, as_json: bool, urls: tuple[str, ...]) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE).decode())
        return
    count = answer["purged"]
    what = "1 stored response" if count == 1 else f"{count:,} stored responses"
    how = "; they may be sent once more while new ones are fetched" if answer["soft"] and count else ""
    click.echo(f"purged {what} in {answer['seconds'] * 1e3:,.1f} ms{how}")
    if not count and urls:
        click.echo(
            "The host must be the one that clients ask for; see what is stored with penstock explain URL --admin."
        )

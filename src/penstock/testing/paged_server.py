"""A paged API as a process of its own: `python -m penstock.testing.paged_server --rows 1000 --style cursor`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, get_args

import orjson

from .fault_server_process import add_serving_options, make_server, serve
from .paged_api import MALFORMED, STYLES, BeyondEnd, End, PagedApi


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status; a wrong option ends with 2.

    The pages that were asked for, and how often, are under `asked` in --stats-out, and at GET /asked.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        api = _api(options)
        server = make_server(options, respond=api)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    serve(server, options, lambda: {"asked": api.asked_by_name()})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m penstock.testing.paged_server",
        description="A paginated API on loopback whose rows are known. Any path has them; pages are numbered from 0.",
    )
    add_serving_options(parser)
    add = parser.add_argument
    add("--rows", type=int, required=True)
    add("--row-bytes", type=int, default=200)
    add("--style", choices=STYLES, default="offset")
    add("--page-size", type=int, default=100, help="rows, where the client does not ask for a number")
    add("--max-page-size", type=int)
    add("--first-page", type=int, default=1, help="what the first page is called in style page")
    add("--bare", action="store_true", help="the answer is the list of rows")
    add("--relative-urls", action="store_true")
    add("--no-total", action="store_true")
    add("--claimed-total", metavar="JSON", help="instead of the truth")
    add("--empty-page", type=int, action="append", default=[], metavar="PAGE")
    add("--hide-every", type=int, default=0, metavar="ROWS", help="count the first of so many, but leave it out")
    add("--repeat-every", type=int, default=0, metavar="ROWS", help="serve a row again after so many")
    add("--turn-back", action="append", default=[], metavar="PAGE=PAGE", help="the next of one page is the other")
    add("--token", action="append", default=[], metavar="PAGE=JSON", help="the token of a page, such as 2=0")
    add("--end", choices=get_args(End), default="null", help="what the last page says of the next")
    add("--refuses-empty-token", action="store_true")
    add("--always-next", action="store_true", help="also on the last page, and beyond it")
    add("--beyond-end", choices=get_args(BeyondEnd), default="empty")
    add("--ignores-page", action="store_true")
    add("--malformed", action="append", default=[], metavar="PAGE=HOW", help=f"{', '.join(MALFORMED)}")
    return parser


def _api(options: argparse.Namespace) -> PagedApi:
    malformed: dict[int, Any] = dict(map(_pair, options.malformed))
    return PagedApi(
        rows=options.rows,
        row_bytes=options.row_bytes,
        style=options.style,
        page_size=options.page_size,
        max_page_size=options.max_page_size,
        first_page=options.first_page,
        rows_key=None if options.bare else "items",
        relative_urls=options.relative_urls,
        show_total=not options.no_total,
        claimed_total=None if options.claimed_total is None else orjson.loads(options.claimed_total),
        empty_pages=frozenset(options.empty_page),
        hide_every=options.hide_every,
        repeat_every=options.repeat_every,
        turn_back={page: int(other) for page, other in map(_pair, options.turn_back)},
        tokens={page: orjson.loads(token) for page, token in map(_pair, options.token)},
        end=options.end,
        refuses_empty_token=options.refuses_empty_token,
        always_next=options.always_next,
        beyond_end=options.beyond_end,
        ignores_page=options.ignores_page,
        malformed=malformed,
    )


def _pair(text: str) -> tuple[int, str]:
    page, found, value = text.partition("=")
    if not found:
        raise ValueError(f"cannot read {text!r}: write PAGE=VALUE, such as 5=2")
    return int(page), value


if __name__ == "__main__":
    sys.exit(main())

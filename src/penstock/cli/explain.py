"""`penstock explain`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from ..errors import CallError, ConnectError, TlsError, UsageError
from ..inbound.cache.app_clock import clock_in_words
from ..inbound.cache.policy_file import read_policy
from ..inbound.cache.purging import requests_for
from ..inbound.proxy.explain_origin import explain_origin
from ..report.axes import duration
from ..wire.unix_socket import PREFIX
from ..wire.url import split_origin, split_url
from .explain_advice import advice_parts, policy_lines
from .options import Duration, environment
from .proxy_admin import AdminClient, client_options, read_token
from .proxy_options import cache_options
from .terminal import echo

_EXAMPLES = """
\b
Examples:
  penstock explain http://127.0.0.1:8000/products/7
  penstock explain http://127.0.0.1:8000/products/7 --header 'Accept-Language: de' --policy cache.toml
  penstock explain https://shop.example/products/7 --origin http://127.0.0.1:8000
  penstock explain https://shop.example/products/7 --admin http://127.0.0.1:8081
"""
_WOULD = {
    "hit": "is answered from the store",
    "stale": "is answered from the store, with a stale answer",
    "collapsed": "waits for another client's request",
    "validate": "goes to the app, to confirm what is stored",
    "miss": "goes to the app",
    "bypass": "goes to the app",
}


@click.command(epilog=_EXAMPLES, short_help="Whether a URL is cached, why, by which clause and for how long.")
@click.argument("url", metavar="URL")
@client_options
@click.option(
    "--header", "headers", multiple=True, help="'Name: value' of the request; ${ENV} is replaced. Repeatable."
)
@click.option("--origin", metavar="URL", default=None, help="Where the app listens, if it is not what URL says.")
@click.option("--policy", type=click.Path(path_type=Path), default=None, help="The TOML file of the proxy.")
@click.option(
    "--profile", type=click.Choice(["safe", "rfc"]), default="safe", show_default=True, help="As of penstock proxy."
)
@click.option(
    "--once", is_flag=True, help="Send one GET only: do not try with another Origin and Accept-Encoding (see Vary)."
)
@click.option("--targeted", metavar="FIELD", multiple=True, help="As of penstock proxy.")
@click.option("--no-targeted", is_flag=True, help="As of penstock proxy.")
@click.option("--timeout", type=Duration(), default="30s", show_default=True, help="For the app to answer.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def explain(
    url: str,
    admin: str | None,
    admin_token_file: Path | None,
    headers: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Say what the cache makes of URL: stored or not, why, by which clause, how long, under which key and tags.

    With --admin the running proxy is asked what it has for URL and what would become of a request now; nothing is sent
    to the app. Without, one GET goes to URL itself, and the rules are applied to the answer as the proxy would do; at
    most two more try whether its Vary lacks a field.

    It ends with what to write so that the answer is stored: the field for the app to send, the same in Django and in
    FastAPI, and the policy entry; or with why nothing should be.

    Exit code 0: explained. 2: wrong usage, or nothing could be asked.
    """
    fields = [environment().header(text) for text in headers]
    # Before anything is asked for: a URL that cannot be one.
    if url.startswith(PREFIX):
        raise UsageError(f"{url} is where an app listens, not a URL: write http://localhost/path --origin {url}")
    requests_for(url)
    if admin is not None:
        for name in ("origin", "policy", "targeted", "no_targeted"):
            if options[name]:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} and --admin exclude each other: the running proxy has its own")
        found = asyncio.run(_ask(AdminClient(admin, read_token(admin_token_file)), url, fields))
    else:
        found = _try(url, fields, **options)
    if as_json:
        text = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        sys.stdout.write(text.decode())
    else:
        echo("\n".join(_lines_of_store(found) if admin is not None else _lines_of_answer(found)), err=False)
        for prose, copied in advice_parts(found):
            echo(prose, err=False)
            # As it is: a line that is to be copied must not be broken.
            click.echo(copied, nl=False)
    return 0


async def _ask(client: AdminClient, url: str, fields: list[tuple[str, str]]) -> dict[str, Any]:
    parameters = [("url", url), *(("header", f"{name}: {value}") for name, value in fields)]
    async with client:
        return await client.get("/explain", parameters)


def _try(
    url: str,
    fields: list[tuple[str, str]],
    *,
    origin: str | None,
    policy: Path | None,
    timeout: float,
    once: bool,
    **options: Any,
) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in fields]
    try:
        return asyncio.run(
            explain_origin(
                url,
                raw,
                origin=origin,
                options=cache_options(**options),
                policy=None if policy is None else read_policy(policy),
                timeout=timeout,
                once=once,
            )
        )
    except CallError as error:
        app = split_origin(origin) if origin is not None else split_url(url)[0]
        raise UsageError(f"nothing to explain: {_why_not(error, str(app))}") from None


def _why_not(error: CallError, app: str) -> str:
    """What came instead of an answer of `app`, and what to do."""
    reason = str(error).removeprefix(f"{app}: ")
    if isinstance(error, ConnectError) and not isinstance(error, TlsError):
        return f"{app} does not answer: {reason}; start the app, or say with --origin where it listens"
    return f"{app} gave no complete answer: {reason}"


def _lines_of_store(found: dict[str, Any]) -> Iterator[str]:
    yield f"key       {found['key']}"
    yield f"now       a request {_WOULD[found['would']]}{_because(found)}"
    yield from policy_lines(found)
    for variant in found["variants"]:
        yield from _variant_lines(variant)
    left_out = found["variants_stored"] - len(found["variants"])
    if left_out > 0:
        yield f"          and {left_out:,} older variants"
    if found["variants_evicted"]:
        yield (
            f"          {found['variants_evicted']:,} variants had to go: all of a URL may take "
            "--max-variants-bytes together"
        )
    if not found["variants"]:
        yield "stored    nothing"
    elif not any(variant["selected"] for variant in found["variants"]):
        yield "          say with --header what the request has of these fields, to see what such a one gets"
    for refusal in found["refused"]:
        yield from _refusal_lines(refusal)
    yield from _clock_lines(found)
    if found["under_way"]:
        yield f"under way {found['under_way']} requests to the app that others may join"


def _refusal_lines(refusal: dict[str, Any]) -> Iterator[str]:
    to = f" (to requests with {refusal['to_requests_with']})" if refusal["to_requests_with"] else ""
    yield (
        f"refused   the last answer{to}, {refusal['status']}: {refusal['sentence']} "
        f"[{refusal['reason']}; {refusal['clause']}]"
    )
    if refusal["side_by_side"]:
        yield (
            "          requests for it go to the app side by side, without waiting for each other, for another "
            f"{duration(refusal['forgotten_in_s'])}"
        )
    else:
        yield "          that says nothing of the next answer: requests for it wait for each other as before"


def _lines_of_answer(found: dict[str, Any]) -> Iterator[str]:
    answer = found["answer"]
    if found["from_penstock"]:
        yield (
            "careful   this answer comes from a penstock proxy (or CacheMiddleware): ask it with --admin, or give the "
            "app's address with --origin"
        )
    yield f"answer    {answer['status']} in {duration(answer['seconds'])}"
    for name, value in answer["fields"].items():
        yield f"          {name}: {value}"
    if answer["sets_cookie"]:
        yield "          set-cookie: (hidden)"
    yield from _clock_lines(found)
    yield f"key       {found['key']}"
    yield from policy_lines(found)
    if not found["stored"]:
        yield f"stored    no: {found['why']} [{found['reason']}; {found['clause']}]"
        return
    if found["reason"] is not None:
        yield f"shared    no: {found['why']} [{found['reason']}]"
    for variant in found["variants"]:
        yield from _variant_lines(variant)
    yield f"next      the same request {_WOULD[found['would_next']['would']]}{_because(found['would_next'])}"


def _clock_lines(found: dict[str, Any]) -> Iterator[str]:
    behind = found["clock_behind_s"]
    if behind:
        yield f"clock     the app's is {clock_in_words(behind)}: ages are counted by ours [RFC 9111, 4.2.3]"


def _because(found: dict[str, Any]) -> str:
    clause = f" [{found['clause']}]" if found["clause"] else ""
    return f": {found['why']}{clause}"


def _variant_lines(variant: dict[str, Any]) -> Iterator[str]:
    state = "" if variant["state"] == "valid" else f", {variant['state']}"
    which = "yes" if variant["selected"] else "yes, but for other requests"
    hits = "1 hit" if variant["hits"] == 1 else f"{variant['hits']:,} hits"
    yield f"stored    {which}: {variant['status']}, {variant['body_bytes']:,} bytes, {hits}{state}"
    lifetime = f"{'for' if variant['remaining_s'] > 0 else 'was for'} {duration(variant['lifetime_s'])}"
    fresh = lifetime if variant["lifetime_s"] else "never"
    yield f"  fresh   {fresh}, its age is {duration(variant['age_s'])} [{variant['lifetime_from']}]"
    stale = [
        f"{duration(variant[name])} {meaning}"
        for name, meaning in (
            ("stale_while_revalidate_s", "while a new one is fetched"),
            ("stale_if_error_s", "while the app fails"),
            ("stale_when_unreachable_s", "while the app cannot be reached"),
        )
        if variant[name]
    ]
    if variant["must_validate"]:
        yield "  stale   each use must be confirmed by the app (no-cache)"
    elif stale:
        yield f"  stale   may be sent for {', '.join(stale)}"
    else:
        yield "  stale   may not be sent"
    if variant["vary"]:
        values = ", ".join(
            f"{name}: {'(absent)' if value is None else value}" for name, value in variant["vary"].items()
        )
        yield f"  vary    {values}"
    if variant["tags"]:
        yield f"  tags    {' '.join(variant['tags'])}"

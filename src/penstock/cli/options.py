"""Option types and the options that all commands of the engine share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from ..answers.conditions import compile_condition
from ..errors import UsageError
from ..rules.duration import parse_duration
from ..rules.limits.rate import Limit, parse_limit
from ..rules.retries.denied import USUAL
from ..rules.retries.verdict import RetryOn
from ..rules.size import parse_size
from ..runs.flow import Flow
from ..runs.secrets.known import secrets_of
from ..runs.secrets.token_command import TOKEN, TokenCommand
from .environment import Environment
from .loop import run_loop
from .redact import redact

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[Any]):
    """`30s`, `5m`, `500ms`; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, above 0."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Guard(Duration):
    """A duration that may be 0, as of a guard, or where 0 says that there is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, from 0 up."""
        return 0.0 if str(value).strip().rstrip("ms") == "0" else super().convert(value, param, ctx)


class Size(click.ParamType[Any]):
    """`64MiB`, `10kB`; a bare number is bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value), least=0)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class ByteRate(Size):
    """`500B/s`, `2KiB/s`; a bare number is bytes a second. 0 says that there is none."""

    name = "size/s"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes a second."""
        return super().convert(value.removesuffix("/s") if isinstance(value, str) else value, param, ctx)


class LimitType(click.ParamType[Any]):
    """`100/min`; with `auto` also that word."""

    name = "count/duration"

    def __init__(self, *, auto: bool) -> None:
        self._auto = auto
        if auto:
            self.name = "count/duration[@name]|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit | Literal["auto"]:
        """A Limit, or `"auto"`."""
        if isinstance(value, Limit):
            return value
        if self._auto and value == "auto":
            return "auto"
        try:
            return parse_limit(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Quantile(click.ParamType[Any]):
    """`p95`."""

    name = "pNN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A share from 0.5 up, below 1."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"p(\d{2}(?:\.\d{1,2})?)", str(value).strip().lower())
        if match is None or not 50 <= float(match[1]) < 100:
            self.fail(f"{value!r} is not a percentile from p50 to p99.99; write p95", param, ctx)
        return float(match[1]) / 100


class Share(click.ParamType[Any]):
    """`20%` or `0.2`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A number from 0 to 1."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value).strip())
        share = float(match[1]) / (100 if match[2] else 1) if match else 2.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not a share; write 20% or 0.2", param, ctx)
        return share


class InFlight(click.ParamType[Any]):
    """`auto` or a number."""

    name = "auto|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`"auto"` or an int from 1 up."""
        if value == "auto":
            return value
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither auto nor a number from 1 up", param, ctx)
        return int(value)


class Condition(click.ParamType[Any]):
    """`403`, `4xx`, or a JMESPath expression on the JSON of an answer."""

    name = "status|jmespath"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was given; what it is has been seen to."""
        try:
            compile_condition("it", str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


follow_redirects = click.option(
    "--follow-redirects",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="At most so many; to another host without your headers.",
)
"""Of the commands that follow any."""


def flow_options(retry_on: RetryOn) -> Callable[[F], F]:
    """The options of how much flows; `retry_on` is the command's own default.

    Each is named as the field of Flow that it fills, so that `take_flow` need not know them one by one.
    """
    levels = click.Choice([level.value for level in RetryOn])
    options = [
        click.option(
            "--limit",
            "limits",
            type=LimitType(auto=True),
            multiple=True,
            help="Never more than this in any window: 100/min, 10/s, 600/5m. Repeat it for several at once. "
            "100/min@name: shared by all runs on this machine that use the name. auto: what the server tells.",
        ),
        click.option(
            "--limit-headers",
            type=click.Choice(["tighten", "ignore"]),
            default="tighten",
            show_default=True,
            help="What the server tells in RateLimit headers only ever makes it slower, or is not looked at.",
        ),
        click.option(
            "--cost-limit",
            "cost_limits",
            type=LimitType(auto=False),
            multiple=True,
            help="A limit on the sum of costs, such as 90000/min of tokens; see --cost.",
        ),
        click.option(
            "--cost", metavar="NUMBER|FIELD", default=None, help="What one call costs, or the field that says so."
        ),
        click.option(
            "--cost-actual",
            metavar="JMESPATH",
            default=None,
            help="Where the answer says what the call has cost; --cost is the estimate until then.",
        ),
        click.option(
            "--in-flight",
            type=InFlight(),
            default="auto",
            show_default=True,
            help="Calls at once. auto: as many as fill the limit, or as the peer can take where there is none.",
        ),
        click.option(
            "--attempt-timeout",
            type=Duration(),
            default="60s",
            show_default=True,
            help="For one attempt, from the send to the complete answer.",
        ),
        click.option(
            "--total-timeout",
            type=Duration(),
            default="10m",
            show_default=True,
            help="For all attempts of one item, pauses included, from its first send.",
        ),
        click.option(
            "--connect-timeout",
            type=Duration(),
            default="10s",
            show_default=True,
            help="For DNS, TCP and TLS together.",
        ),
        click.option(
            "--attempts",
            "max_attempts",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help="At most this many attempts for one item. Refusals (429 and the like) and polls do not count.",
        ),
        click.option(
            "--retry-budget",
            type=Share(),
            default="20%",
            show_default=True,
            help="Of all calls, this share may be retries; items beyond it wait.",
        ),
        click.option(
            "--max-outage",
            type=Guard(),
            default="6h",
            show_default=True,
            help="A host that is down is probed for so long, and a Retry-After waited for; where it takes longer the "
            "run stops, and can be resumed.",
        ),
        click.option(
            "--stop-after-denied",
            type=click.IntRange(min=0),
            default=USUAL,
            show_default=True,
            help="So many refusals of the credential in a row (401, 407, 403 without a limit's sign) stop the run; the "
            "same command goes on with a new one. 0: never.",
        ),
        click.option(
            "--stop-after-failures",
            type=click.IntRange(min=0),
            default=0,
            help="So many failed items in all, of this session, stop the run. [default: never]",
        ),
        click.option(
            "--token-command",
            metavar="CMD",
            default=None,
            help="Prints ${TOKEN}: run at the start, and again when the server answers 401. Run without a shell.",
        ),
        click.option(
            "--forget-pause",
            is_flag=True,
            help="Go on at once, although the server told an earlier session to wait.",
        ),
        click.option(
            "--hedge",
            type=Quantile(),
            default=None,
            help="Call a second time what takes longer than this percentile, such as p95: safe requests only, at most "
            "2% more calls.",
        ),
        click.option(
            "--deadline-header",
            metavar="NAME",
            default=None,
            help="A header that tells the peer how many milliseconds its answer is waited for.",
        ),
        click.option(
            "--retry-on",
            type=levels,
            default=retry_on.value,
            show_default=True,
            help="safe: only what cannot have been processed twice; transient: also timeouts, resets and 5xx of "
            "any method.",
        ),
        click.option(
            "--throttle-when",
            type=Condition(),
            multiple=True,
            help="An answer with this status (403), of this class (4xx), or for which this is true asks to slow down. "
            "429, and what says when to come back, does so without it.",
        ),
        click.option(
            "--retry-when",
            type=Condition(),
            multiple=True,
            help="Such an answer is tried again, whatever --retry-on says.",
        ),
        click.option(
            "--ok-when",
            type=Condition(),
            multiple=True,
            help="Such an answer is a success: 404, or the 202 of an API that has nothing to add.",
        ),
        click.option(
            "--poll-until",
            type=Condition(),
            default=None,
            help="A 202, or another 2xx for which this is false, is not done: it is asked for again, at its Location "
            "and after its Retry-After, until --total-timeout.",
        ),
        click.option(
            "--guard",
            type=Guard(),
            default=None,
            help="Added to a limit's window against jitter on the way. [default: 1.5% of it, at most 150ms]",
        ),
        click.option(
            "--max-response",
            "max_response_bytes",
            type=Size(),
            default="64MiB",
            show_default=True,
            help="A longer body is a failure of that item.",
        ),
        click.option("--ca-file", type=click.Path(path_type=Path), default=None, help="Trust these certificates."),
        click.option(
            "--no-keep-alive",
            "keep_alive",
            is_flag=True,
            flag_value=False,
            default=True,
            help="A connection for each request, for servers that close kept ones without saying so.",
        ),
        click.option("--proxy", default=None, help="Go through this HTTP proxy (needs the extra 'aiohttp')."),
    ]

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


log_option = click.option(
    "--log",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="On standard error: lines for people, or one JSON object for each event.",
)


def show_options(function: F) -> F:
    """The options of what is shown."""
    options = [
        click.option("--quiet", is_flag=True, help="No progress and no summary; errors only."),
        click.option("--json", "as_json", is_flag=True, help="The summary as JSON on standard output."),
        log_option,
        click.option(
            "--metrics",
            metavar="HOST:PORT",
            default=None,
            help="Answer Prometheus there while it runs, such as 127.0.0.1:9464 (needs the extra 'prometheus').",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def take(model: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that are named as fields of the dataclass `model`, taken out of them."""
    return {field.name: options.pop(field.name) for field in fields(model) if field.name in options}


def environment() -> Environment:
    """That of this process."""
    return Environment(os.environ)


def environment_with_token(options: dict[str, Any]) -> Environment:
    """The same, with the token of the command that is taken out of `options`; UsageError where it prints none."""
    command = options.pop("token_command")
    if command is None:
        return environment()
    token = run_loop(TokenCommand.first(command, secrets_of(os.environ)))
    return Environment({**os.environ, TOKEN: token.value}, token)


def take_flow(options: dict[str, Any], variables: Environment) -> Flow:
    """The Flow that `flow_options` and other options named as its fields make, taken out of `options`."""
    given = take(Flow, options)
    if given["proxy"] is not None:
        given["proxy"] = variables.url("--proxy", given["proxy"])
    given["limit_auto"] = "auto" in given["limits"]
    given["limits"] = tuple(limit for limit in given["limits"] if limit != "auto")
    given["retry_on"] = RetryOn(given["retry_on"])
    return Flow(**given, command=_command())


def _command() -> tuple[str, ...]:
    """What the user typed, without its secrets."""
    context = click.get_current_context(silent=True)
    typed = context.find_root().obj if context is not None else None
    return ("penstock", *redact(typed)) if typed else ()

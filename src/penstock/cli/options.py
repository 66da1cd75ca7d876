"""Option types and the options that all commands of the engine share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import UsageError
from ..outbound.job import Flow
from ..rules.outcome import RetryOn
from ..rules.rate import Limit, parse_limit

F = TypeVar("F", bound=Callable[..., Any])

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class Duration(click.ParamType[Any]):
    """`30s`, `5m`, `500ms`; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, above 0."""
        if isinstance(value, float):
            return value
        match = _NUMBER.fullmatch(str(value).strip())
        unit = _SECONDS.get(match[2].lower()) if match else None
        if match is None or unit is None or not (0 < float(match[1]) * unit < math.inf):
            self.fail(f"{value!r} is not a duration; write 30s, 5m or 500ms", param, ctx)
        return float(match[1]) * unit


class Guard(Duration):
    """A duration that may be 0."""

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
        match = _NUMBER.fullmatch(str(value).strip())
        unit = _BYTES.get(match[2].lower()) if match else None
        if match is None or unit is None:
            self.fail(f"{value!r} is not a size; write 64MiB, 10kB or a number of bytes", param, ctx)
        return int(float(match[1]) * unit)


class LimitType(click.ParamType[Any]):
    """`100/min`."""

    name = "count/duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit:
        """A Limit."""
        if isinstance(value, Limit):
            return value
        try:
            return parse_limit(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


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


def flow_options(retry_on: RetryOn) -> Callable[[F], F]:
    """The options of how much flows; `retry_on` is the command's own default."""
    levels = click.Choice([level.value for level in RetryOn])
    options = [
        click.option(
            "--limit",
            "limits",
            type=LimitType(),
            multiple=True,
            help="Never more than this in any window: 100/min, 10/s, 600/5m. Repeat it for several at once.",
        ),
        click.option(
            "--in-flight",
            type=InFlight(),
            default="auto",
            show_default=True,
            help="Calls at once. auto: as many as fill the limit, or 32 where there is none.",
        ),
        click.option(
            "--attempt-timeout",
            type=Duration(),
            default="30s",
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
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help="At most this many attempts for one item.",
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
            "--guard",
            type=Guard(),
            default=None,
            help="Added to a limit's window against jitter on the way. [default: 1.5% of it, at most 150ms]",
        ),
        click.option(
            "--max-response",
            type=Size(),
            default="64MiB",
            show_default=True,
            help="A longer body is a failure of that item.",
        ),
        click.option("--ca-file", type=click.Path(path_type=Path), default=None, help="Trust these certificates."),
        click.option("--proxy", default=None, help="Go through this HTTP proxy (needs penstock[aiohttp])."),
    ]

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def show_options(function: F) -> F:
    """The options of what is shown."""
    function = click.option("--quiet", is_flag=True, help="No progress and no summary; errors only.")(function)
    return click.option("--json", "as_json", is_flag=True, help="The summary as JSON on standard output.")(function)


def read_flow(
    *,
    limits: tuple[Limit, ...],
    in_flight: Any,
    attempt_timeout: float,
    total_timeout: float,
    connect_timeout: float,
    attempts: int,
    retry_on: str,
    guard: float | None,
    max_response: int,
    ca_file: Path | None,
    proxy: str | None,
    follow_redirects: int = 0,
) -> Flow:
    """The values of `flow_options` as a Flow."""
    return Flow(
        limits=limits,
        in_flight=in_flight,
        attempt_timeout=attempt_timeout,
        total_timeout=total_timeout,
        connect_timeout=connect_timeout,
        max_attempts=attempts,
        retry_on=RetryOn(retry_on),
        guard=guard,
        max_response_bytes=max_response,
        follow_redirects=follow_redirects,
        ca_file=ca_file,
        proxy=proxy,
    )

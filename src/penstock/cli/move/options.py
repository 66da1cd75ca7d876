"""What the commands of `penstock move` have in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ...errors import UsageError
from ...migrate.state_file import state_path
from ...rules.duration import parse_duration
from ...rules.moving.share import parse_share

_FACTOR = re.compile(r"([0-9]+(?:\.[0-9]+)?)x")

arms_option = click.option(
    "--arms",
    "path",
    type=click.Path(path_type=Path),
    default=None,
    help="The file with the state of all routes. [default: $PENSTOCK_ARMS, else arms.json]",
)


def path_of(given: Path | None) -> Path:
    """Where the state is."""
    return state_path() if given is None else given.absolute()


class Percentage(click.ParamType[Any]):
    """`10%`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A number from 0 to 1."""
        if isinstance(value, float):
            return value
        try:
            return parse_share(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class P99(click.ParamType[Any]):
    """`1.5x` or `300ms`."""

    name = "factor|duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The field of BackLimits, and its value."""
        if isinstance(value, tuple):
            return value
        text = str(value).strip()
        match = _FACTOR.fullmatch(text)
        if match is not None and float(match[1]) >= 1:
            return "p99_factor", float(match[1])
        try:
            return "p99_seconds", parse_duration(text, needs_unit=True)
        except UsageError:
            self.fail(f"{text!r} is no bound of a p99; write 1.5x, of the control's, or 300ms", param, ctx)

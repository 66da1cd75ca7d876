"""One line of figures while a share is held: over itself on a terminal, else a line each ten seconds."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import Self

import click

from ...clock import SYSTEM_CLOCK
from ...report.axes import duration
from ...rules.moving.state import ArmsState
from .figures import Figures, in_a_line

_EVERY, _EVERY_LIVE = 10.0, 1.0


class LiveLine:
    """A context manager; what a terminal shows goes away at its end."""

    def __init__(self, figures: Figures, route: str) -> None:
        self._figures = figures
        self._route = route
        self._live = sys.stdout.isatty()
        self._shown = SYSTEM_CLOCK.now()
        self._drawn = False

    def show(self, left: float) -> None:
        """If it is time for one; `left` are the seconds until the share has been held."""
        now = SYSTEM_CLOCK.now()
        if now - self._shown < (_EVERY_LIVE if self._live else _EVERY):
            return
        self._shown = now
        self._figures.look()
        arms = [arm for each in self._figures.routes(ArmsState(), self._route) for arm in each.arms]
        line = f"  {duration(round(left))} left   {in_a_line(arms) or 'no worker was seen'}"
        if self._live:
            click.echo(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", nl=False)
            self._drawn = True
        else:
            click.echo(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            click.echo("\r\x1b[K", nl=False)

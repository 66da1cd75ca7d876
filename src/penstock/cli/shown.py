"""What a command shows while it runs and when it ends: for people, as JSON lines, to Prometheus, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import PenstockError
from ..limits.limiter import RateLimiter
from ..rules.secrets.values import NO_SECRETS, SecretValues
from ..runs.driver import Watcher
from .log import JsonLog
from .metrics import MetricsWatcher, metrics_watcher
from .progress import SurveyProgress, watchers
from .summary import print_summary
from .terminal import echo
from .texts import Gauge


@dataclass(slots=True)
class Shown:
    """What was asked for with `show_options`, of one command."""

    quiet: bool
    as_json: bool
    log: JsonLog | None
    metrics: MetricsWatcher | None
    at_the_end: contextlib.ExitStack
    secrets: SecretValues = field(default=NO_SECRETS)

    def hides(self, secrets: SecretValues) -> None:
        """From now on what is shown is without `secrets`, also the error that the command ends with."""
        self.secrets = secrets

    def say(self, text: str) -> None:
        """A sentence for people."""
        text = self.secrets.mask(text)
        if self.log is not None:
            self.log.write("note", message=text)
        elif not self.quiet:
            echo(text if text.startswith("penstock ") else f"penstock: {text}")

    @property
    def reading(self) -> SurveyProgress:
        """Shows how the survey of an input goes on."""
        return SurveyProgress(quiet=self.quiet or self.log is not None)

    def watch(
        self, out: str, gauge: Callable[[], Gauge] | None = None, unit: str = "items"
    ) -> Callable[[int | None, RateLimiter], tuple[Watcher, ...]]:
        """What watches the run whose output is `out`; `gauge` tells how far it is, where its total is not known.

        `unit` says what there is a total of.
        """
        for_people = watchers(out, quiet=self.quiet or self.log is not None, gauge=gauge, unit=unit)

        def make(total: int | None, limiter: RateLimiter) -> tuple[Watcher, ...]:
            all_of_them: list[Watcher] = [*for_people(total, limiter)]
            for each in all_of_them:
                # Also where the run ends with an error, which must not be written into the middle of a view.
                self.at_the_end.callback(getattr(each, "close", lambda: None))
            if self.log is not None:
                all_of_them.append(self.log.watcher(total, limiter))
            if self.metrics is not None:
                all_of_them.append(self.metrics.under(limiter))
            return tuple(all_of_them)

        return make

    def finish(self, summary: dict[str, Any], out: str) -> None:
        """Show the summary."""
        if self.log is not None:
            self.log.finished(summary)
        print_summary(summary, out=out, quiet=self.quiet or self.log is not None, as_json=self.as_json)


@contextlib.contextmanager
def shown(command: str, options: dict[str, Any]) -> Iterator[Shown]:
    """Take the values of `show_options` out of `options`. Raises UsageError if the metrics' address cannot be had."""
    quiet, as_json = options.pop("quiet"), options.pop("as_json")
    address, log = options.pop("metrics"), options.pop("log")
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(metrics_watcher(address, command)) if address is not None else None
        show = Shown(quiet, as_json, JsonLog(command) if log == "json" else None, metrics, stack)
        try:
            yield show
        except PenstockError as error:
            show.secrets.mask_error(error)
            raise

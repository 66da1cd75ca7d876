"""Who knows what the admin address is asked for: one cache, which answers at once, or several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ...errors import UsageError
from ..cache.explain import explain_url
from ..cache.purging import purge
from .metrics import MetricsText
from .snapshot import Watched

Then = Callable[[int, dict[str, Any]], None]
"""Told of a status and an answer for JSON, once."""
ThenText = Callable[[bytes | None, str], None]
"""Told of the text of the metrics, or of why there is none."""


class Desk(Protocol):
    """What is asked, now or later answered, and never raises."""

    def ask(self, what: str, asked: dict[str, Any], then: Then) -> None:
        """For `what` and `asked` see `answer`."""
        ...

    def metrics(self, then: ThenText) -> None:
        """The metrics as Prometheus reads them."""
        ...


class OwnDesk:
    """Of one cache in this process."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._text = MetricsText(watched)

    def ask(self, what: str, asked: dict[str, Any], then: Then) -> None:
        """At once."""
        then(*answer(self._watched, what, asked))

    def metrics(self, then: ThenText) -> None:
        """At once."""
        try:
            text = self._text.read()
        except UsageError as missing:
            then(None, str(missing))
        else:
            then(text, "")


def answer(watched: Watched, what: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer: "explain" (`url`, `fields`), "stats" (`top`, `with_query`), "purge" (see `purging.purge`)."""
    try:
        if what == "purge":
            return 200, _purge(watched, asked)
        if what == "explain":
            fields = [(name.encode(), value.encode("utf-8", "replace")) for name, value in asked["fields"]]
            return 200, explain_url(watched.engine, asked["url"], fields)
        return 200, watched.snapshot(asked["top"], with_query=asked["with_query"])
    except UsageError as error:
        return 400, {"error": str(error)}


def _purge(watched: Watched, asked: dict[str, Any]) -> dict[str, Any]:
    clock = watched.engine.clock
    began = clock.now()
    purged = purge(watched.engine, **asked)
    return {"purged": purged, "soft": asked["soft"], "seconds": clock.now() - began}

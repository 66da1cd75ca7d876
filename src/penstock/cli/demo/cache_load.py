"""The clients of the demo's cache: two of three ask for what everybody asks for, and all note what they got."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...clock import Clock
from ...errors import CallError
from ...messages import Request
from ...observe.histogram import Histogram
from ...wire.client import Client
from .paced_load import PacedLoad

PAGES = 100


@dataclass
class ClientTally:
    """What the clients got, and what of it was wrong."""

    requests: int = 0
    pages: int = 0
    """Requests for what everybody asks for."""
    hits: int = 0
    """Answered from the cache, fresh or stale, by what Cache-Status says."""
    stale: int = 0
    """Of the hits."""
    pages_lost: int = 0
    """Requests for pages with any other answer than 200."""
    new_lost: int = 0
    """Requests for what is new that failed while the app was there."""
    new_without_app: int = 0
    """The same while it was not: nobody could have answered them."""
    outdated: int = 0
    """Pages from before an edit, asked for after its purge."""
    kinds: Counter[str] = field(default_factory=Counter)
    """What was wrong, by status or kind of error."""
    times: Histogram = field(default_factory=Histogram)
    """Of answers from the cache."""


class Load(PacedLoad):
    """The clients of the cache; whether the app is there is for the caller to say."""

    def __init__(self, url: str, rate: float, clock: Clock) -> None:
        super().__init__(url, rate, clock)
        self.tally = ClientTally()
        self.current = 0
        """The edit that every page asked for from now on must show, or a later one."""
        self.app_is_down = False

    async def ask(self, client: Client, number: int) -> None:
        """The `number`-th request: every third is for something new."""
        wanted, was_down, shared = self.current, self.app_is_down, number % 3 != 2
        path = f"/page/{number % PAGES}" if shared else f"/new/{number}"
        began = self.clock.now()
        try:
            response = await client(Request("GET", self.url + path))
        except CallError as error:
            self.note(shared=shared, kind=error.kind, was_down=was_down)
            return
        status = response.headers.get("cache-status") or ""
        # An answer that the app's end or start came between may be of either time.
        was_down = was_down or self.app_is_down
        if response.status != 200:
            self.note(shared=shared, kind=str(response.status), was_down=was_down, cache_status=status)
            return
        outdated = shared and int(response.body) < wanted
        self.note(shared=shared, was_down=was_down, cache_status=status, outdated=outdated)
        if "; hit" in status:
            self.tally.times.add(self.clock.now() - began)

    def note(
        self, *, shared: bool, was_down: bool, kind: str = "", cache_status: str = "", outdated: bool = False
    ) -> None:
        """Count one answer; `kind` is what was wrong with it, empty for nothing."""
        tally = self.tally
        tally.requests += 1
        tally.pages += shared
        if "; hit" in cache_status:
            tally.hits += 1
            tally.stale += "detail=" in cache_status
        tally.outdated += outdated
        if not kind:
            return
        tally.kinds[kind] += 1
        if shared:
            tally.pages_lost += 1
        elif was_down:
            tally.new_without_app += 1
        else:
            tally.new_lost += 1

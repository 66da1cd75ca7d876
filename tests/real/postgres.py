"""A PostgreSQL that nobody here wrote: how tests start it, and what it says of the connections that a site has."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from benchmarks.postgres import postgres
from benchmarks.processes import MissingTool, scratch

APPLICATION = "site"
"""What connections of a site call themselves."""
IDLE = {"idle"}


@dataclass(frozen=True)
class Database:
    """A running server."""

    dsn: str

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What a statement gives, on a connection of its own; it is committed."""
        import psycopg

        with psycopg.connect(self.dsn) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def states(self) -> Counter[str]:
        """How many connections of the site are in which state."""
        rows = self.rows("SELECT state FROM pg_stat_activity WHERE application_name = %s", APPLICATION)
        return Counter(str(state) for (state,) in rows)

    def states_at_rest(self) -> Counter[str]:
        """The same, once no connection works any more, or after five seconds."""
        until = time.monotonic() + 5
        while not (found := self.states()).keys() <= IDLE and time.monotonic() < until:
            time.sleep(0.05)
        return found


@contextmanager
def database() -> Iterator[Database]:
    """A server of its own until the end of the block; skips the test, with what to do, where there is none."""
    # Not in a folder of pytest, which is closed to the user that PostgreSQL runs as.
    with scratch() as folder, ExitStack() as stack:
        try:
            dsn = stack.enter_context(postgres(folder))
        except MissingTool as missing:
            pytest.skip(str(missing))
        yield Database(dsn)

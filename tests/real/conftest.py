"""What several of these tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import penstock
from adapters.served import Replying, in_a_thread
from penstock.migrate import table
from penstock.testing import Reply

from .carried import Upstream


@pytest.fixture
def own_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes of other tests are of other apps."""
    monkeypatch.setattr(table, "ROUTES", {})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    replying = Replying([Reply(200, body=b'{"price": 7}')])
    with in_a_thread(replying.make) as server, penstock.Http(server.url) as http:
        yield Upstream(replying, http)

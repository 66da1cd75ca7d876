"""What tests of several files here need."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture
def as_at_a_terminal() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell started these tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

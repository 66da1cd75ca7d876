"""What all tests share: compiled code, how hypothesis looks for examples, and loggers that log."""

from __future__ import annotations

import compileall
import logging
import os
import random
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run: a test that fails now and then tells nothing about the change that is judged by it.
# PENSTOCK_HYPOTHESIS=search looks further, with new examples every time.
settings.register_profile(
    "same", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
# What depends on the Python and not on the example: enough for the other versions.
settings.register_profile(
    "few",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("PENSTOCK_HYPOTHESIS", "same"))


def pytest_configure(config: pytest.Config) -> None:
    """Compile penstock once, for the hundreds of processes that tests start.

    Where Python is told to write no bytecode each of them would compile all of it anew: half a second of CPU.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parents[1] / "src", quiet=2)
    # A shell that starts these tests in the background has them ignore Ctrl-C, and all that they start. Here it is what
    # it is at a terminal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _same_chances(request: pytest.FixtureRequest) -> None:
    """The jitter of retries comes from `random`: with a seed of the test's own name each run of it draws the same.

    Without it one run in 300 of a test of rates fell below its bound, and the change under judgement was blamed.
    """
    random.seed(request.node.nodeid)


@pytest.fixture(autouse=True)
def _loggers_log() -> None:
    """import-linter, which runs in the test of the architecture, disables all loggers that were there before it."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("penstock") and isinstance(logger, logging.Logger):
            logger.disabled = False

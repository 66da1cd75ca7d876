"""`pytest --penstock-arm NAME`: the tests that are there, each of whose routes with arms serves that one.

pytest loads this in every run where penstock is installed, so without the option it does nothing, and imports nothing
of penstock.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """As pytest has it."""
    parser.getgroup("penstock").addoption(
        "--penstock-arm",
        metavar="NAME",
        help="Serve this arm in every route with penstock.arms (where it has none, control). "
        "With 'broken' every such route raises, and tests that do not notice are listed.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """As pytest has it: before any code of the user's, which may call routes or start a server."""
    arm = early_config.known_args_namespace.penstock_arm
    if arm is None:
        return
    from . import pytest_session

    pytest_session.begin(early_config, arm)

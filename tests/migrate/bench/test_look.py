"""What is refused before anything is measured, since no request would come to the arms."""

from __future__ import annotations

import os

import pytest

from penstock.errors import UsageError
from penstock.migrate.bench.look import look
from penstock.migrate.bench.order import check_served

APP = "tests.migrate.bench.unserved_app:app"


def test_what_no_request_comes_to() -> None:
    """A function that is served with its arms may be served without them as well."""
    seen = look(APP, os.environ)
    assert (seen.bypassed, seen.plain) == (["GET /bare"], ["GET /plain"])
    with pytest.raises(UsageError, match=r"stands above @penstock.arms, not below"):
        check_served("GET /bare", None, seen)
    with pytest.raises(UsageError, match="give --server, such as 'gunicorn "):
        check_served("GET /plain", None, seen)
    check_served("GET /plain", "gunicorn {app} -b :{port}", seen)
    check_served("GET /also", None, seen)

"""Whether what an arm returned or raised is a failure, where nobody sees the status that its framework makes of it."""

from __future__ import annotations

import sys
from typing import Any

from .hosts import flask_in_request

_OF_DJANGO = (
    ("django.http", "Http404"),
    ("django.core.exceptions", "PermissionDenied"),
    ("django.core.exceptions", "SuspiciousOperation"),
    ("django.core.exceptions", "BadRequest"),
    ("django.http.multipartparser", "MultiPartParserError"),
)
"""Exceptions that Django answers with a status below 500; none of them has it as an attribute."""


def is_failed_answer(answer: object) -> bool:
    """A response with a status of its own from 500 on."""
    status = getattr(answer, "status_code", None)
    if status is None and isinstance(answer, tuple) and flask_in_request() is not None:
        # (body, status) or (body, status, headers); elsewhere a tuple is data.
        status = _as_number(answer[1]) if len(answer) > 1 else None
    return isinstance(status, int) and status >= 500


def is_failed_error(error: BaseException | None) -> bool:
    """An exception that stands for no status below 500, as HTTPException(404) does. A cancellation is no failure."""
    if not isinstance(error, Exception):
        return False
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status >= 500
    if isinstance(error, _known(("werkzeug.exceptions", "HTTPException"))):
        return _werkzeug_status(error) >= 500
    return not isinstance(error, tuple(kind for each in _OF_DJANGO for kind in _known(each)))


def _werkzeug_status(error: Any) -> int:
    # abort(response) has no code of its own.
    answer = getattr(error, "response", None)
    status = error.code if answer is None else answer.status_code
    return status if isinstance(status, int) else 500


def _known(name: tuple[str, str]) -> tuple[type[Exception], ...]:
    module, kind = name
    there = sys.modules.get(module)
    return () if there is None else (getattr(there, kind),)


def _as_number(status: object) -> int | None:
    if isinstance(status, int):
        return status
    first = status.split()[:1] if isinstance(status, str) else []
    return int(first[0]) if first and first[0].isdecimal() else None

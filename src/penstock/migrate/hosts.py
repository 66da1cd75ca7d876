"""Which framework called an arm, and its request. Nothing is imported: a framework that calls is loaded already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from .under_way import UNDER_WAY, AsgiUnderWay


def request_of(arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The framework's request: an argument, or the one that it keeps for the thread or task. None if there is none."""
    for each in _all(arguments, named):
        # The first argument that has headers, as requests of all frameworks have.
        if isinstance(_attribute(each, "headers"), Mapping):
            return each
    flask = flask_in_request()
    return _of_starlette() if flask is None else flask.request


def parameter_of_fastapi(function: Callable[..., Any]) -> str | None:
    """The parameter of `function` that FastAPI fills in with the request, by its annotation. None if there is none."""
    fastapi = sys.modules.get("fastapi")
    if fastapi is None:
        return None
    try:
        hints = get_type_hints(function)
    except Exception:  # noqa: BLE001  # annotations are code of the user, and names in them may be missing
        return None
    hints.pop("return", None)
    taken = [each for each, kind in hints.items() if isinstance(kind, type) and issubclass(kind, fastapi.Request)]
    # The last one, as in FastAPI.
    return taken[-1] if taken else None


def is_of_django(arguments: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether a view of Django is called: with its request, or one of Django REST framework round it."""
    django = sys.modules.get("django.http")
    if django is None:
        return False
    kind = django.HttpRequest
    return any(
        isinstance(each, kind) or isinstance(_attribute(each, "_request"), kind) for each in _all(arguments, named)
    )


def flask_in_request() -> Any:
    """The module flask, where a request of a Flask app is served here."""
    flask = sys.modules.get("flask")
    return flask if flask is not None and flask.has_request_context() else None


def _attribute(one: object, name: str) -> Any:
    """None where it has none, and where asking fails: arguments may be proxies of what is not there."""
    try:
        return getattr(one, name, None)
    except Exception:  # noqa: BLE001  # the user's own code, and no reason to fail a request
        return None


def _all(arguments: Sequence[Any], named: Mapping[str, Any]) -> Iterator[Any]:
    yield from arguments
    yield from named.values()


def _of_starlette() -> Any:
    """Starlette's request of what the middleware knows, where Starlette is there."""
    under_way = UNDER_WAY.get()
    starlette = sys.modules.get("starlette.requests")
    if starlette is None or not isinstance(under_way, AsgiUnderWay):
        return None
    return starlette.Request(under_way.scope)

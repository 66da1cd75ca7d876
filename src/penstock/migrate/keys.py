"""By what a request is known again, so that one user always gets the same arm: a header, or what a function says."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..errors import UsageError
from .under_way import UNDER_WAY

_LOG = logging.getLogger("penstock.move")
Key: TypeAlias = str | Callable[[Any], object]
"""The name of a header, or a function from the framework's request to something that names who asks."""


class KeyReader:
    """Finds the key of a request of `route`: None where it has none."""

    def __init__(self, route: str, key: Key | None) -> None:
        if not (key is None or callable(key) or (isinstance(key, str) and key.strip())):
            raise UsageError(f"key={key!r} of {route} is neither the name of a header nor a function")
        self._route = route
        self._function = key if callable(key) else None
        self._header = key if isinstance(key, str) else ""
        self._raw = self._header.lower().encode()
        self.wanted = key is not None
        self._warned = False

    def read(self, request: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """The key: `request` is the framework's, where it is known; else it is looked for among the arguments."""
        if not self.wanted:
            return None
        if self._function is not None:
            return self._ask(self._function, _first_of(request, _among(arguments, named), _of_middleware()))
        under_way = UNDER_WAY.get()
        if under_way is not None:
            return _in_scope(under_way.scope["headers"], self._raw)
        request = _first_of(request, _among(arguments, named))
        return None if request is None else request.headers.get(self._header)

    def _ask(self, function: Callable[[Any], object], request: Any) -> str | None:
        if request is None:
            return None
        try:
            key = function(request)
        except Exception:  # noqa: BLE001  # the user's own code, and no reason to fail a request
            if not self._warned:
                _LOG.exception("the key of %s cannot be told, so its control serves; said once", self._route)
            self._warned = True
            return None
        return None if key is None else str(key)


def _first_of(*found: Any) -> Any:
    """The first that is there. Requests are mappings, so one may be there and false."""
    return next((each for each in found if each is not None), None)


def _in_scope(headers: Any, name: bytes) -> str | None:
    for each, value in headers:
        if each == name:
            found: str = value.decode("latin-1")
            return found
    return None


def _among(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """The first argument that has headers, as requests of all frameworks have."""
    for each in (*arguments, *named.values()):
        if isinstance(getattr(each, "headers", None), Mapping):
            return each
    return None


def _of_middleware() -> Any:
    """Starlette's request of what the middleware knows, where Starlette is there."""
    under_way = UNDER_WAY.get()
    starlette = sys.modules.get("starlette.requests")
    return None if under_way is None or starlette is None else starlette.Request(under_way.scope)

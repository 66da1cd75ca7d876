"""What was found for a request: the plan, and the facts that it was made from."""

from __future__ import annotations

from typing import NamedTuple

from ...rules.caching.lookup import Plan
from ...stores.stored_response import StoredResponse
from ...stores.variants import Resource


class Found(NamedTuple):
    """The plan for a request, and what it was made from; what it did not need is empty."""

    plan: Plan
    key: bytes
    now: float
    resource: Resource | None = None
    stored: StoredResponse | None = None
    """Of `resource`, what the request selects."""
    flight_key: bytes = b""
    whole: bool = False
    """The request has a Range, and the origin is asked for the whole."""

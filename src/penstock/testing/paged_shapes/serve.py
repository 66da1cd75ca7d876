"""All shapes behind one `respond`: the path says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl

from ..fault_answers import Reply
from ..fault_service import ServedRequest
from .counted import COUNTED
from .cut import Shape
from .linked import LINKED
from .noted import NOTED
from .tokens import TOKENS

SHAPES: Mapping[str, Shape] = {**NOTED, **COUNTED, **TOKENS, **LINKED}
"""Name -> shape; the name is the path that has it."""


class PagedShapes:
    """A `respond` for FaultServer: `/NAME` pages as the shape of that name does, over `rows` rows."""

    def __init__(self, rows: int = 212) -> None:
        self.rows = rows
        self.asked: Counter[str] = Counter()
        """How often each was asked."""
        self.queries: list[str] = []
        """The query of each request, in order."""

    def __call__(self, request: ServedRequest) -> Reply:
        """Answer one request; what there is no shape for gets a 404."""
        path, _, query = request.target.decode("latin-1").partition("?")
        shape = SHAPES.get(path.strip("/"))
        if shape is None:
            return Reply(404, b'{"error":"there is no such shape"}')
        self.asked[path.strip("/")] += 1
        self.queries.append(query)
        url = f"http://{request.headers.get('host', 'localhost')}{path}"
        return shape.answer(url, dict(parse_qsl(query, keep_blank_values=True)), self.rows)

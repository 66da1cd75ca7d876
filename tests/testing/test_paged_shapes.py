"""The shapes of paged APIs: what each answers to who asks in its own words, and that the path says which."""

from __future__ import annotations

import orjson
import pytest

from penstock.testing import ServedRequest
from penstock.testing.paged_shapes import SHAPES, PagedShapes
from penstock.testing.paged_shapes.cut import PAGE, SLACK


def ask(shapes: PagedShapes, target: str) -> tuple[int, bytes]:
    """Ask without a socket."""
    reply = shapes(ServedRequest("GET", target.encode(), {"host": "api.test"}, b""))
    return reply.status, reply.body


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_first_page_of_each(name: str) -> None:
    """As many rows as a page has, the first ones, in JSON."""
    shapes = PagedShapes()
    query = SHAPES[name].query
    status, body = ask(shapes, f"/{name}?{query}" if query else f"/{name}")
    assert status == 200
    orjson.loads(body)
    assert body.count(b'"name":"row ') in (PAGE, 2 * PAGE)
    assert b'"name":"row 0"' in body
    assert shapes.asked == {name: 1}


@pytest.mark.parametrize(
    ("target", "status", "first"),
    [
        ("/bare-list?offset=50&limit=10", 200, "row 50"),
        ("/bare-list-page?page=2", 200, "row 50"),
        ("/bare-from-zero?page=1", 200, "row 50"),
        ("/scim?startIndex=51", 200, "row 50"),
        ("/stripe?starting_after=350", 200, "row 50"),
        ("/notion?start_cursor=tok50", 200, "row 50"),
        ("/notion?start_cursor=nonsense", 400, ""),
        ("/stripe?page=2", 400, ""),
        ("/wordpress?page=6", 400, ""),
        ("/postgrest?offset=212", 416, ""),
        ("/nothing", 404, ""),
    ],
)
def test_in_its_own_words(target: str, status: int, first: str) -> None:
    """Where a page begins; unknown words are refused where the API does so, and so is what lies beyond the end."""
    said, body = ask(PagedShapes(), target)
    assert said == status
    assert status != 200 or body.index(b'"row ') == body.index(f'"{first}"'.encode())


def test_most_calls() -> None:
    """Pages, and the slack that a good client may take."""
    shape = SHAPES["stripe"]
    assert [shape.most_calls(rows) for rows in (0, 1, PAGE, PAGE + 1)] == [1 + SLACK, 1 + SLACK, 1 + SLACK, 2 + SLACK]

"""The bytes of hits that need no thinking are those that the long way gives."""

from __future__ import annotations

import pytest

from penstock.inbound.proxy.proxy import ready_answer
from penstock.rules.caching.freshness import Freshness
from penstock.stores.stored_response import StoredResponse


def stored(status: int, body: bytes) -> StoredResponse:
    freshness = Freshness(60.0, "max-age", 3.4, 0.0, None, 0.0, may_be_stale=True, must_validate=False)
    fields = [(b"cache-control", b"max-age=60")]
    return StoredResponse(
        key=b"k",
        status=status,
        reason=b"x",
        fields=fields,
        body=body,
        sequence=0,
        received_at=10.0,
        freshness=freshness,
    )


@pytest.mark.parametrize(("status", "length"), [(200, True), (404, True), (204, False)])
def test_a_204_has_no_length(status: int, length: bool) -> None:
    data, _ = ready_answer(stored(status, b"" if status == 204 else b"body"), 10.0)
    assert (b"Content-Length" in data) is length


def test_it_is_right_until_its_age_grows() -> None:
    response = stored(200, b"body")
    data, until = ready_answer(response, 10.0)
    assert b"age: 3\r\n" in data
    assert b"age: 3\r\n" in ready_answer(response, until - 0.01)[0]
    assert b"age: 4\r\n" in ready_answer(response, until + 0.01)[0]

"""Whether an answer depends on more than its Vary says, by at most two requests more."""

from __future__ import annotations

import pytest

from penstock.errors import ConnectionLost
from penstock.inbound.proxy.missing_vary import depends, missing_vary, trials
from penstock.messages import RawFields
from penstock.rules.caching.http_fields import combine
from penstock.testing import run_virtual

ORIGIN = "http://shop.example"
TEXT = (b"content-type", b"text/html; charset=utf-8")
CODED = (b"content-encoding", b"gzip")


@pytest.mark.parametrize(
    ("asked", "answer", "tried"),
    [
        ([], [TEXT], ["Origin: http://shop.example", "Accept-Encoding: gzip"]),
        ([], [TEXT, (b"vary", b"Origin, Accept-Encoding")], []),
        ([], [(b"content-type", b"image/png")], ["Origin: http://shop.example"]),
        ([], [(b"access-control-allow-origin", b"*")], []),
        ([(b"origin", b"https://a")], [(b"vary", b"accept-encoding"), TEXT], ["no Origin"]),
        ([(b"origin", b"https://a")], [(b"vary", b"accept-encoding, origin"), TEXT], ["no Origin"]),
        ([(b"accept-encoding", b"gzip")], [(b"vary", b"origin"), CODED], ["Accept-Encoding: identity"]),
    ],
)
def test_what_is_tried(asked: RawFields, answer: RawFields, tried: list[str]) -> None:
    """Only what Vary does not name, and where such answers are known to differ."""
    assert [str(each) for each in trials(ORIGIN, combine(asked), combine(answer))] == tried


@pytest.mark.parametrize(
    ("number", "second", "missing"),
    [
        (0, [TEXT], False),
        (0, [TEXT, (b"access-control-allow-origin", b"http://shop.example")], True),
        (0, [TEXT, (b"vary", b"Origin")], True),
        (1, [TEXT], False),
        (1, [TEXT, CODED], True),
        (1, [TEXT, (b"vary", b"accept-encoding")], True),
    ],
)
def test_when_a_field_is_missing(number: int, second: RawFields, missing: bool) -> None:
    """Where the answers differ in what the field is for, or the other one names it."""
    trial = trials(ORIGIN, {}, combine([TEXT]))[number]
    assert depends(trial, combine([TEXT]), combine(second)) is missing


def test_both_answers_have_to_say_it() -> None:
    """Asked with an Origin, some apps name it; asked without, they do not."""
    (trial,) = trials(ORIGIN, {b"origin": b"http://a"}, {b"vary": b"origin"})
    assert depends(trial, {b"vary": b"origin"}, {})
    assert not depends(trial, {b"vary": b"origin"}, {b"vary": b"accept, origin"})


def test_what_is_said() -> None:
    """The whole Vary to send; a request that fails tells nothing."""

    async def cors(fields: RawFields) -> RawFields:
        if (b"accept-encoding", b"gzip") in fields:
            raise ConnectionLost("gone")
        assert (b"cookie", b"a=b") in fields
        assert (b"origin", b"http://shop.example") in fields
        return [TEXT, (b"vary", b"Origin"), (b"access-control-allow-origin", b"http://shop.example")]

    async def main() -> None:
        found = await missing_vary(ORIGIN, [(b"cookie", b"a=b")], [TEXT, (b"vary", b"cookie")], cors)
        assert found["tried"] == ["Origin: http://shop.example"]
        (missing,) = found["missing"]
        assert (missing["field"], missing["header"]) == ("Origin", "Vary: Cookie, Origin")
        assert missing["django"] == '@vary_on_headers("Cookie", "Origin")'

    run_virtual(main())

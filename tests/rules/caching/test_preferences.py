"""Lists of what a client would rather have, in one form, and the language that it gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_key import variant_of
from penstock.rules.caching.preferences import best_language, in_order, weight_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"de, en;q=0.5", b"en;q=0.5, de", True),
        (b"de;q=1.0, en;q=0.50", b"DE,en ; Q=0.5", True),
        (b"de, en", b"en, de", False),
        (b"de, en;q=0.5", b"de, en;q=0.4", False),
        (b"de, de", b"de", True),
        (b"de, en;q=0", b"de", False),
        (b"de;q=x, en", b"en, de;q=x", False),
        (b"Text/HTML, */*;q=0.8", b"*/*;q=0.8,text/html", True),
        (b'text/html;a="x, y"', b'text/html;a="x,y"', False),
        (b"text/html;level=1;q=0.5", b"text/html;level=1;q=0.50", True),
        (b"text/html;level=A", b"text/html;level=a", False),
        (b"text/html;q=0.5;ext=1", b"text/html;ext=1;q=0.5", False),
    ],
)
@pytest.mark.parametrize("name", [b"accept", b"accept-language", b"accept-charset"])
def test_which_lists_mean_the_same(name: bytes, one: bytes, other: bytes, same: bool) -> None:
    assert (variant_of((name,), {name: one}) == variant_of((name,), {name: other})) is same
    long = b", ".join(b"x-%d" % number for number in range(3000))
    assert (in_order(one + b"," + long) == in_order(other + b"," + long)) is same


@pytest.mark.parametrize(
    ("parameter", "weight"),
    [(b"q=1", 1.0), (b" Q = 0.5", 0.5), (b"q=0", 0.0), (b"q=1.1", None), (b"q=.5", None), (b"a=1", None), (b"q", None)],
)
def test_weights(parameter: bytes, weight: float | None) -> None:
    assert weight_of(parameter) == weight


@pytest.mark.parametrize(
    ("value", "best"),
    [
        (b"de", b"de"),
        (b"DE-ch", b"de"),
        (b"de-CH, en;q=0.9", b"de"),
        (b"fr, en;q=0.9, de;q=0.8", b"en"),
        (b"en;q=0.5, de;q=0.9", b"de"),
        (b"fr", None),
        (b"*", None),
        (b"fr, *;q=0.5", None),
        (b"", None),
        (b"de;q=0", None),
        (b"de;q=0, de-CH", None),
        (b"de;q=0, en;q=0.1", b"en"),
        (b"de;q=oops, en", b"en"),
        (b"pt", None),
        (b"pt-BR", b"pt-br"),
        (b"pt-BR-x-abc", b"pt-br"),
        (b"zh-Hant-x-private", b"zh-Hant"),
        (b"deutsch", None),
        (b"de_CH", None),
        (b"\xff, en", b"en"),
    ],
)
def test_the_best_language_by_look_up(value: bytes, best: bytes | None) -> None:
    offered = ("de", "en", "pt-br", "zh-Hant")
    assert best_language(value, offered) == best
    assert best_language(value + b"," + b"x" * 9000, offered) == best


@given(st.binary(max_size=40))
def test_any_bytes_give_a_language_that_is_there_or_none(value: bytes) -> None:
    assert best_language(value, ("de", "en")) in (b"de", b"en", None)
    in_order(value)

"""Whose requests belong to a share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.moving.share import in_share, parse_share

KEYS = [f"user-{number}" for number in range(20_000)]

GOOD = {"0%": 0.0, "100%": 1.0, "1%": 0.01, "0.1%": 0.001, "50%": 0.5, " 10% ": 0.1, "100.0%": 1.0, "00%": 0.0}
BAD = [
    *[
        "",
        "%",
        "10",
        "0",
        "100",
        "1.0",
        "-1%",
        "-0%",
        "101%",
        "100.01%",
        "nan%",
        "inf%",
        "1e1%",
        "1_0%",
        "10%%",
        "ten%",
    ],
    *["10 %", "0x1%", "+5%", "1/2", "\u0665%", ".5%", "5.%", "1,5%"],
]


@pytest.mark.parametrize(("text", "share"), GOOD.items())
def test_a_share_is_a_percentage(text: str, share: float) -> None:
    """From 0 to 100."""
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """A number without its sign could be meant as either."""
    with pytest.raises(UsageError, match="is not a share; write a percentage from 0% to 100%"):
        parse_share(text)


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_a_share_is_in_a_larger_one(route: str, key: str, one: float, other: float) -> None:
    """A user who has the new arm keeps it while the share grows."""
    small, large = sorted((one, other))
    assert in_share(route, key, small) <= in_share(route, key, large)


@given(st.text(), st.text())
def test_the_ends_are_nobody_and_all(route: str, key: str) -> None:
    """Without a look at the key."""
    assert not in_share(route, key, 0.0)
    assert in_share(route, key, 1.0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_is_as_large_as_it_says(share: float) -> None:
    """Within four standard errors of 20,000 keys."""
    count = sum(in_share("GET /quote/{id}", key, share) for key in KEYS)
    assert abs(count / len(KEYS) - share) < 4 * (share * (1 - share) / len(KEYS)) ** 0.5


def test_routes_are_independent() -> None:
    """It is not the same users who try every new arm."""
    both = sum(in_share("GET /a", key, 0.1) and in_share("GET /b", key, 0.1) for key in KEYS)
    assert abs(both / len(KEYS) - 0.01) < 4 * (0.01 * 0.99 / len(KEYS)) ** 0.5


def test_a_route_and_a_key_do_not_run_together() -> None:
    """`GET /a` with key `b` is not `GET /ab`."""
    keys = [str(number) for number in range(1000)]
    assert [in_share("GET /a", f"b{key}", 0.5) for key in keys] != [in_share("GET /ab", key, 0.5) for key in keys]


@pytest.mark.parametrize(
    ("route", "key", "least", "most"),
    [("GET /quote/{id}", "ann", 0.178, 0.179), ("GET /quote/{id}", "bob", 0.731, 0.732)],
)
def test_the_same_key_has_the_same_place_for_ever(route: str, key: str, least: float, most: float) -> None:
    """Other versions and machines put a user where this one does: the digest is fixed, and no seed is in it."""
    assert in_share(route, key, most)
    assert not in_share(route, key, least)


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "x" * 10_000, "\u00fc"])
def test_any_string_is_a_key(key: str) -> None:
    """Half of a character, too, as `json.loads` makes one of what a client sends."""
    assert in_share("GET /quote/{id}", key, 0.5) == in_share("GET /quote/{id}", key, 0.5)

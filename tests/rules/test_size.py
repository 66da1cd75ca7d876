"""Sizes as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.rules.size import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64MiB", 64 * 2**20), ("10kB", 10_000), ("1.5 KiB", 1536), (" 2gib ", 2**31), (7, 7)],
)
def test_a_size(text: Any, size: int) -> None:
    """Decimal and binary units, in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", 0, -1, "-1", "1e3", "1.2.3", "MiB", "1 TiBs", "nan", "inf", True, "0.1b", None]
)
def test_no_size(text: Any) -> None:
    """Told, not guessed."""
    with pytest.raises(UsageError):
        parse_size(text)


def test_nothing_at_all_is_a_size_where_it_is_meant() -> None:
    """As with `--max-response-bytes 0`, which takes no body."""
    assert parse_size("0", least=0) == 0
    with pytest.raises(UsageError):
        parse_size("no size", least=0)

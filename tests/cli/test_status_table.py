"""The table of `move status` on a narrow terminal."""

from __future__ import annotations

from penstock.cli.move.figures import HEADERS
from penstock.cli.move.status_table import table

ROWS = [
    list(HEADERS),
    ["control", "90%", "21/s", "117 ms", "639 ms", "0.0%", "0 ms/s", "0", "8", "0", "0"],
    ["async", "10%", "1.0/s", "44 ms", "44 ms", "0.0%", "0 ms/s", "0", "0", "0", "0"],
]


def test_all_of_it_without_a_terminal() -> None:
    lines = table(ROWS, None)
    assert len(lines) == 3
    assert lines[0].endswith("no key  lost")


def test_what_is_0_makes_room_on_80_columns() -> None:
    """And is named, so that nobody takes it for unknown."""
    *lines, last = table(ROWS, 80)
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split("  ")[-1] == "in flight"
    assert last == "  0 of all arms, not shown here: no key, lost"


def test_what_is_counted_stays() -> None:
    """Too wide then, and folded, rather than hidden."""
    rows = [row[:] for row in ROWS]
    rows[2][9], rows[1][8], rows[2][7] = "5", "0", "3"
    lines = table(rows, 40)
    assert "no key" in lines[0]
    assert "shed" in lines[0]
    assert lines[-1].endswith("not shown here: in flight, lost")

"""Where pages with numbers should lie side by side: do rows of one come again in the next?"""

from __future__ import annotations

MOST_PAGES = 64
"""So many pages are looked at, from the first on. An API that cuts its pages in another way does so from the start."""


class Seams:
    """The first and the last row of each page, as JSON lines, to be found again in its neighbours."""

    def __init__(self) -> None:
        self._first: dict[int, bytes] = {}
        self._last: dict[int, bytes] = {}
        self._enough = False

    def see(self, page: int, lines: bytes | bytearray) -> int | None:
        """Look at the rows of `page`; returns the earlier one of the first two pages that share some, else None.

        Pages come in any order. Where rows are not all different, sharing one says nothing.
        """
        if self._enough or page >= MOST_PAGES or not lines:
            return None
        lines = bytes(lines)
        first, last = lines[: lines.index(b"\n") + 1], lines[lines.rfind(b"\n", 0, -1) + 1 :]
        if first == last or _times(lines, first) > 1 or _times(lines, last) > 1:
            return None
        self._first[page], self._last[page] = first, last
        before, after = self._last.get(page - 1), self._first.get(page + 1)
        self._enough = bool(_times(lines, before) or _times(lines, after))
        return (page - 1 if _times(lines, before) else page) if self._enough else None


def _times(lines: bytes, line: bytes | None) -> int:
    if line is None:
        return 0
    return lines.startswith(line) + lines.count(b"\n" + line)

"""How an API pages, as options say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ...errors import UsageError

HEADER = "header:"
"""`--total header:X-Total-Count` reads that field."""

STYLES = ("offset", "page", "cursor", "next-url", "link")
URL_STYLES = ("next-url", "link")
"""Those whose pages are named by URLs."""

_ONLY_WITH = {
    "offset_param": ("offset",),
    "first_row": ("offset",),
    "page_param": ("page",),
    "cursor_param": ("cursor",),
    "next": ("cursor", "next-url"),
    "total_pages": ("offset", "page"),
}


@dataclass(frozen=True, slots=True)
class Paging:
    """The options of `pull` that say how an API pages; None is the style's own default.

    `rows`, `total`, `total_pages`, `more` and `next` are JMESPath expressions on an answer; all but `rows` can be
    `header:NAME`.
    """

    style: str = "auto"
    page_size: int | None = None
    size_param: str | None = None
    offset_param: str | None = None
    first_row: int | None = None
    page_param: str | None = None
    cursor_param: str | None = None
    rows: str | None = None
    total: str | None = None
    total_pages: str | None = None
    more: str | None = None
    next: str | None = None
    start: str | None = None

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.style != "auto" and self.style not in STYLES:
            raise UsageError(f"--paginate {self.style!r} is none of auto, {', '.join(STYLES)}")
        if self.page_size is not None and self.page_size < 1:
            raise UsageError(f"--page-size must be at least 1, not {self.page_size}")
        for name, styles in _ONLY_WITH.items():
            if getattr(self, name) is not None and self.style not in styles:
                raise UsageError(f"--{name.replace('_', '-')} only goes with --paginate {' or '.join(styles)}")
        if self.style == "auto" and self.start is not None:
            raise UsageError("--start needs --paginate: say which kind of start it is")
        if self.style in ("offset", "page") and self.start is not None and not self.start.isdecimal():
            raise UsageError(f"--start must be a number with --paginate {self.style}, not {self.start!r}")

    def in_command(self, command: Sequence[str]) -> list[str]:
        """The words of `command`, which may say some of it already, with all of these options."""
        mine = {f"--{each.name.replace('_', '-')}" for each in fields(self)} | {"--paginate"}
        words = iter(command)
        kept: list[str] = []
        for word in words:
            if word in mine:
                next(words, None)
            elif word.partition("=")[0] not in mine:
                kept.append(word)
        return [*kept, *self.as_options()]

    def as_options(self) -> list[str]:
        """The options as one would type them, each a word."""
        options = {"paginate": self.style} | {
            each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self) if each.name != "style"
        }
        return [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]

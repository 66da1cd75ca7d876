"""Colours, the style sheet and the small script of the page; rules and script are in `page.css` and `page.js`.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart, darker or lighter where the
background asks for it.
"""

from __future__ import annotations

from importlib import resources

COLOURS = {
    "blue": ("#0b6aa8", "#63b3ee"),
    "orange": ("#c8560b", "#f2955a"),
    "green": ("#0f8a68", "#4cc3a0"),
    "purple": ("#a6588c", "#d99cc4"),
    "sky": ("#3f9fd6", "#8fcdf3"),
    "yellow": ("#b58410", "#e6bd54"),
    "red": ("#8c2f39", "#e88a92"),
    "leaf": ("#94c9b8", "#38705f"),
    "mist": ("#9cc3e0", "#3c6689"),
    "grey": ("#6b7480", "#97a1ad"),
}
"""Each for light and for dark paper."""

SHADES = {
    "paused": ("#f4e2b3", "#3b341f"),
    "down": ("#f3cfc8", "#4a2b28"),
    "break": ("#dfe3e8", "#30363d"),
}
"""Backgrounds, likewise."""


def script() -> str:
    """Values under the pointer. The page says everything without it."""
    return _read("page.js")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _variables(which: int) -> str:
    return "".join(
        f"--{prefix}{name}:{pair[which]};"
        for prefix, pairs in (("", COLOURS), ("shade-", SHADES))
        for name, pair in pairs.items()
    )


def style_sheet() -> str:
    """The style sheet, light and dark."""
    classes = "".join(
        f".stroke-{name}{{stroke:var(--{name})}}.fill-{name}{{fill:var(--{name});background:var(--{name})}}"
        f".text-{name}{{color:var(--{name})}}"
        for name in COLOURS
    )
    classes += "".join(f".shade-{name}{{fill:var(--shade-{name});background:var(--shade-{name})}}" for name in SHADES)
    light = f":root{{color-scheme:light dark;{_LIGHT}{_variables(0)}}}"
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}{_variables(1)}}}}}"
    return light + dark + classes + _read("page.css")


_LIGHT = "--paper:#fff;--card:#f7f8fa;--ink:#1c2128;--soft:#5b6570;--line:#dfe3e8;--grid:#e8ebef;--upright:#7a4b9a;"
_DARK = "--paper:#14181d;--card:#1b2027;--ink:#e4e8ec;--soft:#9aa5b1;--line:#303841;--grid:#28303a;--upright:#c9a2e4;"

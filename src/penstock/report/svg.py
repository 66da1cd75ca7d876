"""A chart as HTML: lines and bars in SVG, which stretches with the page, and words beside it, which do not.

The drawing has 1,000 by 400 units whatever its size on the screen, so one page serves 1,280 and 400 pixels; texts are
HTML and keep their size. Colours and sizes are in `style`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .axes import Axis, spread
from .charts import Bars, Chart, Line, Points

_WIDTH, _HEIGHT = 1000.0, 400.0
_PIXELS, _PIXELS_WIDE = 190, 230
_LABEL_PIXELS = 15
_EARLY, _LATE = 0.03, 0.97
_LEGEND = {"paused": "paused, as the server asked", "down": "host taken to be down", "break": "nothing ran"}


def draw(chart: Chart) -> str:
    """The chart as a `<figure>`."""
    pixels = _PIXELS_WIDE if chart.wide else _PIXELS
    what = escape(f"{chart.title}: {chart.unit}")
    kind = "duration" if chart.durations else "number"
    x_kind = "time" if chart.over_time else "duration"
    data = (
        f'data-x="{_axis_data(chart.x)}" data-y="{_axis_data(chart.y)}" data-write="{kind}" data-over="{x_kind}" '
        f'style="--height:{pixels}px"'
    )
    return (
        f'<figure id="{chart.name}" class="chart{" wide" if chart.wide else ""}">'
        f"<figcaption><h2>{escape(chart.title)}</h2>{_captions(chart)}</figcaption>"
        f'<div class="plot{"" if chart.lines else " no-ends"}" {data}>'
        f'<div class="y-labels">{_y_labels(chart.y)}</div>'
        f'<div class="area"><svg viewBox="0 0 1000 400" preserveAspectRatio="none" role="img" aria-label="{what}">'
        f"{_drawing(chart)}</svg></div>"
        f'<div class="ends">{_ends(chart, pixels)}</div>'
        f'<div class="x-labels">{_x_labels(chart.x)}</div></div></figure>'
    )


def _axis_data(axis: Axis) -> str:
    return f"{axis.low!r},{axis.high!r},{int(axis.log)}"


def _captions(chart: Chart) -> str:
    unit = f"{chart.unit}, {chart.note}" if chart.note else chart.unit
    parts = [f'<span class="unit">{escape(unit)}</span>']
    parts += [
        f'<span class="key"><i class="swatch fill-{bars.colour}"></i>{escape(bars.label)}</span>'
        for bars in chart.bars
        if chart.over_time
    ]
    parts += [
        f'<span class="key"><i class="swatch faint fill-{line.colour}"></i>fewest to most</span>'
        for line in chart.lines
        if line.band
    ]
    # Once is enough: the first chart is the wide one.
    seen = {shade.what for shade in chart.shades} if chart.wide else set()
    parts += [
        f'<span class="key"><i class="swatch shade-{what}"></i>{text}</span>'
        for what, text in _LEGEND.items()
        if what in seen
    ]
    # Beside the lines, which can be close together, their names would run into one another.
    parts += [
        f'<span class="key"><i class="swatch fill-{mark.colour}"></i>{escape(mark.label)}</span>'
        for mark in chart.marks
        if mark.colour
    ]
    restarts = dict.fromkeys(mark.label for mark in chart.marks if not mark.colour)
    if chart.wide and restarts:
        words = " / ".join(restarts)
        parts.append(f'<span class="key"><i class="swatch upright"></i>{escape(words)}</span>')
    return f'<p class="keys">{"".join(parts)}</p>'


def _drawing(chart: Chart) -> str:
    parts = [
        f'<rect class="shade-{shade.what}" x="{left:.1f}" y="0" width="{max(right - left, 1.5):.1f}" height="400"/>'
        for shade in chart.shades
        for left, right in [(chart.x.place(shade.begin) * _WIDTH, chart.x.place(shade.end) * _WIDTH)]
    ]
    grid = "".join(f"M0 {_y(chart.y, tick):.1f}H1000" for tick, _ in chart.y.ticks)
    parts.append(f'<path class="grid" d="{grid}"/>')
    parts += _stack(chart)
    for line in chart.lines:
        parts += [f'<path class="band fill-{line.colour}" d="{_band(chart, piece)}"/>' for piece in line.band]
    parts += [_path(chart, line) for line in chart.lines]
    for mark in chart.marks:
        how = f"mark stroke-{mark.colour}" if mark.colour else "upright"
        parts.append(f'<path class="{how}" d="M{chart.x.place(mark.x) * _WIDTH:.1f} 0V400"/>')
    return "".join(parts)


def _y(axis: Axis, value: float) -> float:
    return (1.0 - axis.place(value)) * _HEIGHT


def _path(chart: Chart, line: Line) -> str:
    steps = "".join(_polyline(chart, piece) for piece in line.pieces)
    dashed = " dashed" if line.dashed else ""
    return f'<path class="line stroke-{line.colour}{dashed}" data-label="{escape(line.label)}" d="{steps}"/>'


def _polyline(chart: Chart, piece: Points) -> str:
    places = [f"{chart.x.place(x) * _WIDTH:.1f} {_y(chart.y, y):.1f}" for x, y in piece]
    return f"M{'L'.join(places)}"


def _band(chart: Chart, piece: Sequence[tuple[float, float, float]]) -> str:
    there = [f"{chart.x.place(x) * _WIDTH:.1f} {_y(chart.y, high):.1f}" for x, _, high in piece]
    back = [f"{chart.x.place(x) * _WIDTH:.1f} {_y(chart.y, low):.1f}" for x, low, _ in reversed(piece)]
    return f"M{'L'.join(there + back)}Z"


def _stack(chart: Chart) -> list[str]:
    """One path for each of the Bars, on top of those before it."""
    base: dict[float, float] = {}
    return [
        f'<path class="bar fill-{bars.colour}" data-label="{escape(bars.label)}" d="{_bars(chart, bars, base)}"/>'
        for bars in chart.bars
    ]


def _bars(chart: Chart, bars: Bars, base: dict[float, float]) -> str:
    parts = []
    for begin, end, height in bars.bins:
        if height <= 0:
            continue
        below = base.get(begin, 0.0)
        base[begin] = below + height
        left, right = chart.x.place(begin) * _WIDTH, chart.x.place(end) * _WIDTH
        gap = min(1.2, (right - left) * 0.12)
        bottom, top = _y(chart.y, below), _y(chart.y, below + height)
        parts.append(
            f"M{left + gap / 2:.1f} {top:.1f}h{max(right - left - gap, 0.6):.1f}V{bottom:.1f}H{left + gap / 2:.1f}Z"
        )
    return "".join(parts)


# -- words beside it --------------------------------------------------------------------------------------------------


def _y_labels(axis: Axis) -> str:
    return "".join(
        f'<span style="top:{(1 - axis.place(tick)) * 100:.2f}%">{escape(text)}</span>' for tick, text in axis.ticks
    )


def _x_labels(axis: Axis) -> str:
    parts = []
    for number, (tick, text) in enumerate(axis.ticks):
        place = axis.place(tick)
        # Labels at the very ends would stick out of the page.
        side = " first" if place < _EARLY else " last" if place > _LATE else ""
        odd = " odd" if number % 2 else ""
        parts.append(f'<span class="tick{side}{odd}" style="left:{place * 100:.2f}%">{escape(text)}</span>')
    return "".join(parts)


def _ends(chart: Chart, pixels: int) -> str:
    """The name of each line where it ends."""
    lines = [line for line in chart.lines if line.pieces]
    wanted = [(1 - chart.y.place(line.pieces[-1][-1][1])) * pixels for line in lines]
    places = spread(wanted, _LABEL_PIXELS, 6.0, pixels - 6.0)
    return "".join(
        f'<span class="text-{line.colour}" style="top:{place:.0f}px">{escape(line.label)}</span>'
        for line, place in zip(lines, places, strict=True)
    )

"""The charts of the report as one picture, for where a page cannot be shown. Needs the extra `[report]`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..extras import how_to_install
from .axes import Axis
from .charts import Chart, make_charts
from .load import RunRecord
from .style import COLOURS, SHADES
from .timeline import make_timeline
from .words import headline

_WIDTH_INCHES, _ROW_INCHES, _DOTS_PER_INCH = 12.8, 2.7, 150
_LEGEND = {"paused": "paused", "down": "host down", "break": "nothing ran"}


def write_png(record: RunRecord, path: Path) -> None:
    """Draw the charts of `record` into `path`. Raises UsageError without matplotlib, OutputError if it cannot write."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"--png needs matplotlib: {how_to_install('report')}") from None
    timeline = make_timeline(record.samples, record.sessions, running=record.running)
    charts = make_charts(timeline)
    rows = list(_rows(charts))
    height = _ROW_INCHES * max(1, len(rows)) + 1.0
    # Without pyplot, which keeps figures in a global state and looks for a screen.
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
    title = textwrap.fill(_plain(headline(record, timeline)), 100)
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
    grid = figure.add_gridspec(max(1, len(rows)), 2)
    for row, some in enumerate(rows):
        for column, chart in enumerate(some):
            place = grid[row, :] if len(some) == 1 else grid[row, column]
            _draw(figure.add_subplot(place), chart)
    try:
        figure.savefig(path, format="png", facecolor="white")
    except OSError as error:
        raise OutputError(f"--png {path}: {error.strerror or error}") from error


def _plain(text: str) -> str:
    """Dollar signs begin formulas in matplotlib, so they are escaped."""
    return text.replace("$", r"\$")


def _rows(charts: list[Chart]) -> Iterator[list[Chart]]:
    row: list[Chart] = []
    for chart in charts:
        if chart.wide:
            yield [chart]
            continue
        row.append(chart)
        if len(row) == 2:
            yield row
            row = []
    if row:
        yield row


def _draw(axes: Any, chart: Chart) -> None:
    _axes(axes, chart)
    for shade in chart.shades:
        label = _once(axes, _LEGEND[shade.what]) if chart.wide else None
        axes.axvspan(shade.begin, shade.end, color=SHADES[shade.what][0], linewidth=0, label=label)
    base: dict[float, float] = {}
    for bars in chart.bars:
        lefts = [begin for begin, _, _ in bars.bins]
        below = [base.get(left, 0.0) for left in lefts]
        heights = [height for _, _, height in bars.bins]
        widths = [(end - begin) * (0.9 if chart.over_time else 0.95) for begin, end, _ in bars.bins]
        axes.bar(lefts, heights, widths, bottom=below, align="edge", color=COLOURS[bars.colour][0], label=bars.label)
        base.update((left, low + height) for left, low, height in zip(lefts, below, heights, strict=True))
    for line in chart.lines:
        colour = COLOURS[line.colour][0]
        for number, piece in enumerate(line.pieces):
            label = line.label if number == 0 else None
            axes.plot(*zip(*piece, strict=True), "--" if line.dashed else "-", color=colour, lw=1.3, label=label)
        for band in line.band:
            x, low, high = zip(*band, strict=True)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    for mark in chart.marks:
        if mark.colour:
            axes.axvline(mark.x, color=COLOURS[mark.colour][0], lw=1.5, label=_plain(mark.label))
        else:
            axes.axvline(mark.x, color="#7a4b9a", lw=1.0, ls=":", label=_once(axes, mark.label) if chart.wide else None)
    if len(chart.lines) + len(chart.bars) > 1 or chart.wide or not chart.over_time:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _axes(axes: Any, chart: Chart) -> None:
    axes.set_title(_plain(chart.title), loc="left", fontsize=10.5, fontweight="bold")
    axes.set_ylabel(_plain(chart.unit), fontsize=8, color="#5b6570")
    _scale(axes.xaxis, axes.set_xscale, axes.set_xlim, chart.x)
    _scale(axes.yaxis, axes.set_yscale, axes.set_ylim, chart.y)
    axes.tick_params(labelsize=8, length=2, colors="#5b6570")
    axes.grid(visible=True, axis="y", color="#e8ebef")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _scale(axis: Any, set_scale: Any, set_limits: Any, wanted: Axis) -> None:
    set_scale("log" if wanted.log else "linear")
    axis.set_ticks([tick for tick, _ in wanted.ticks], [text for _, text in wanted.ticks])
    axis.set_ticks([], minor=True)
    set_limits(wanted.low, wanted.high)


def _once(axes: Any, label: str) -> str | None:
    return None if label in axes.get_legend_handles_labels()[1] else label

"""The report as one HTML page that needs nothing else: no network, no fonts, no files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import orjson

from .._version import __version__
from .axes import count, duration, moment, number, percent
from .charts import ending, make_charts
from .load import RunRecord
from .style import script, style_sheet
from .svg import draw
from .timeline import Timeline, make_timeline
from .words import KeptLimit, command_line, figures, headline, is_pull, kept_limits, limits_for_each, notes

_MOST_PER_KIND = 6
_MOST_SESSIONS = 50

Row = Sequence[tuple[str, str, str]]
"""Cells: the column, the text, how it is set (`n` a number, `w` not wrapped, `long` with a line for itself)."""


def make_page(record: RunRecord, *, now: float) -> str:
    """The page. `now` is in seconds since the epoch. Whatever a server or an input said in it is text and inert."""
    timeline = make_timeline(record.samples, record.sessions, running=record.running)
    title = escape(f"{record.out.name}: penstock report")
    parts = [[round(each, 3) for each in (part.begin, part.end, part.wall)] for part in timeline.parts]
    body = [
        f'<p class="brand"><b>penstock</b> report of {escape(str(record.out))}{_when(timeline)}</p>',
        f"<h1>{_kept_together(escape(headline(record, timeline)))}</h1>",
        _command(record),
        _figures(record, timeline),
        f'<div class="charts">{"".join(draw(chart) for chart in make_charts(timeline))}</div>',
        *_sections(record, timeline),
        f"<footer>Made {moment(now)} by penstock {escape(__version__)} from {escape(str(record.folder))}. "
        "Times are UTC; a time axis counts the time at work, and shortens breaks.</footer>",
    ]
    code = script()
    # Whatever else may get in: no other script runs, and nothing is fetched.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_digest(code)}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{style_sheet()}</style></head><body>'
        f'<main data-parts="{escape(orjson.dumps(parts or [[0, 0, 0]]).decode())}">{"".join(body)}</main>'
        f"<script>{code}</script></body></html>\n"
    )


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _kept_together(text: str) -> str:
    """With spaces that do not break between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|ms|s|min|h|d)(?!\w))", "\u00a0", text)


def _when(timeline: Timeline) -> str:
    if not timeline.parts:
        return ""
    return f", {moment(timeline.parts[0].wall)} to {moment(timeline.parts[-1].last.at)}"


def _command(record: RunRecord) -> str:
    command = command_line(record)
    return f"<pre>{escape(command)}</pre>" if command else ""


def _figures(record: RunRecord, timeline: Timeline) -> str:
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in figures(record, timeline)
    )
    return f'<dl class="figures">{cells}</dl>'


def _sections(record: RunRecord, timeline: Timeline) -> Iterator[str]:
    said = notes(record, timeline)
    if said:
        yield _section("To know", f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in said)}</ul>")
    yield _section("The limit, and how it was kept", _limits(record, timeline))
    if len(timeline.parts) > 1:
        yield _section("Sessions", _table(list(_session_rows(record, timeline))))
    if record.failed:
        yield _section(f"Failed {_items(record)}", _hint(record) + _table(list(_failed_rows(record))))
    if record.slowest:
        hint = '<p class="hint">The slowest of all calls that came to an outcome.</p>'
        rows = [_example(each, record) for each in record.slowest]
        yield _section(f"Slowest {_items(record)}", hint + _table(rows))


def _items(record: RunRecord) -> str:
    return "pages" if is_pull(record) else "items"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    # A column in which nothing stands says nothing.
    filled = [column for column in range(len(rows[0])) if any(row[column][1] for row in rows)]
    rows = [[row[column] for column in filled] for row in rows]
    head = "".join(f'<th class="{how}">{escape(name)}</th>' for name, _, how in rows[0])
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{how}" data-name="{escape(name)}">{escape(text)}</td>' for name, text, how in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _limits(record: RunRecord, timeline: Timeline) -> str:
    kept, for_each = kept_limits(record, timeline), limits_for_each(record, timeline)
    if not kept and not for_each:
        return '<p class="none">There was no limit on the rate.</p>'
    rows: list[Row] = [
        (
            ("limit", each.text, "w"),
            ("used", percent(each.used) if each.used is not None else "-", "n"),
            ("most in a window", _most(each), "n"),
        )
        for each in kept
    ]
    rows += [(("limit", text, "w"), ("used", "", "n"), ("most in a window", "", "n")) for text in for_each]
    sampled = any(each.most is not None for each in kept)
    how = " The most in a window is what was surely in one, as counted from sample to sample." if sampled else ""
    if any(each.most is not None and each.most > each.allowed for each in kept):
        how += " Attempts that found no connection can be among them: they count, but need no permit and send nothing."
    paused = sum(span.paused for span in timeline.spans)
    pauses = f" The server asked for pauses: about {duration(paused)} in all." if paused else ""
    return (
        '<p class="hint">Every attempt pays for itself, retries too, and recent ones are kept on disk, so that a '
        f"restart does not begin anew.{how}{escape(pauses)}</p>{_table(rows)}"
    )


def _most(kept: KeptLimit) -> str:
    if kept.most is None:
        return ""
    return f"{number(kept.most)} of {number(kept.allowed)} in {duration(kept.seconds)}"


def _session_rows(record: RunRecord, timeline: Timeline) -> Iterator[Row]:
    for which, part in enumerate(timeline.parts[-_MOST_SESSIONS:], max(1, len(timeline.parts) - _MOST_SESSIONS + 1)):
        yield (
            ("session", str(which), "n"),
            ("began", moment(part.wall), "w"),
            ("at work", duration(part.seconds), "n"),
            (f"{_items(record)} done", f"{part.last.items - part.first.items:,}", "n"),
            ("calls", f"{part.last.attempts - part.first.attempts:,}", "n"),
            ("ended", ending(part), ""),
            ("version", part.line.version if part.line is not None else "", "w"),
        )


def _hint(record: RunRecord) -> str:
    kinds = ", ".join(f"{kind} {found:,}" for kind, found in _kinds(record))
    return f'<p class="hint">{escape(kinds)}. The first and the last few of each kind:</p>'


def _kinds(record: RunRecord) -> list[tuple[str, int]]:
    by_kind = dict(record.samples[-1].by_kind) if record.samples else {}
    return sorted(((kind, by_kind.get(kind, len(some))) for kind, some in record.failed.items()), key=lambda k: -k[1])


def _failed_rows(record: RunRecord) -> Iterator[Row]:
    for kind, _ in _kinds(record):
        some = record.failed[kind]
        half = _MOST_PER_KIND // 2
        for example in some if len(some) <= _MOST_PER_KIND else some[:half] + some[-half:]:
            yield _example(example, record)


def _example(example: Mapping[str, Any], record: RunRecord) -> Row:
    seconds = example.get("service_s")
    at = example.get("at")
    outcome = str(example.get("kind") or "") or "ok"
    message = str(example.get("message") or "")
    return (
        (_items(record).removesuffix("s"), str(example.get("key", "")), ""),
        ("took", duration(float(seconds)) if isinstance(seconds, (int, float)) else "", "n"),
        ("attempts", str(example.get("attempts", "")), "n"),
        ("status", str(example.get("status") or ""), "n"),
        ("outcome", f"{outcome}: {message}" if message else outcome, "long" if message else ""),
        ("ended", moment(float(at)) if isinstance(at, (int, float)) else "", "w"),
    )


def sentence(record: RunRecord) -> str:
    """What the page says first, for the terminal."""
    timeline = make_timeline(record.samples, record.sessions, running=record.running)
    shown = count(len(record.samples), "sample")
    return f"{headline(record, timeline)} ({shown})"

"""What several processes tell of themselves, put together: counts are added, of states the worst holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...observe.exposition import Family
from ...observe.histogram import Histogram

_FIRST = ("version", "origin")
_LEAST = ("uptime_s", "origin_up")
_MOST = ("now_s",)
_GAUGES_OF_THE_WORST = ("penstock_cache_origin_up",)
_RECENT = ("top_urls", "top_misses")


def add_snapshots(snapshots: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """Of `Watched.snapshot`, with at most `most` rows. A URL is of one process, but a path may be of several."""
    total: dict[str, Any] = {}
    for name, first in snapshots[0].items():
        values = [snapshot[name] for snapshot in snapshots]
        if name in _FIRST:
            total[name] = first
        elif name in _LEAST:
            total[name] = min(values)
        elif name in _MOST:
            total[name] = max(values)
        elif name == "origin_latency":
            total[name] = _merged(Histogram.from_json(each) for each in values).as_json()
        elif name in _RECENT:
            total[name] = _rows(values, most)
        else:
            total[name] = _added(values)
    return total


def _added(values: Sequence[Any]) -> Any:
    """Numbers, or numbers by name; None where nobody counts."""
    told = [value for value in values if value is not None]
    if not told:
        return None
    if not isinstance(told[0], Mapping):
        return sum(told)
    names = list(dict.fromkeys(name for each in told for name in each))
    return {name: sum(each.get(name, 0) for each in told) for name in names}


def _rows(tables: Iterable[Iterable[Mapping[str, Any]]], most: int) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for table in tables:
        for row in table:
            known = rows.get(row["url"])
            rows[row["url"]] = dict(row) if known is None else _both(known, row)
    return sorted(rows.values(), key=lambda row: (-row["recent"], -row["requests"], row["url"]))[:most]


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two rows of one URL: words are those of the row with more requests."""
    first, second = (one, other) if one["requests"] >= other["requests"] else (other, one)
    row = dict(first)
    for name, value in second.items():
        if isinstance(value, int | Mapping):
            row[name] = _added([first[name], value])
    return row


def add_families(all_of: Sequence[Sequence[Family]]) -> list[Family]:
    """Of `metrics.families`, each process's in the same order."""
    total = []
    for same in zip(*all_of, strict=True):
        first = same[0]
        if first.durations is not None:
            merged = _merged(each.durations for each in same if each.durations is not None)
            total.append(replace(first, durations=merged))
        elif first.name in _GAUGES_OF_THE_WORST:
            total.append(replace(first, values={"": min(each.values[""] for each in same)}))
        else:
            total.append(replace(first, values=_added([each.values for each in same])))
    return total


def family_as_json(family: Family) -> dict[str, Any]:
    """For another process."""
    durations = None if family.durations is None else family.durations.as_json()
    return {
        "name": family.name,
        "meaning": family.meaning,
        "kind": family.kind,
        "values": dict(family.values),
        "label": family.label,
        "durations": durations,
        "bounds": list(family.bounds),
    }


def family_from_json(data: Mapping[str, Any]) -> Family:
    """The inverse."""
    durations = data["durations"]
    return Family(**{**data, "durations": None if durations is None else Histogram.from_json(durations)})


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for each in histograms:
        total.merge(each)
    return total

"""Tables of verdicts, and recorded lists of passes that a later run is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .suite import Suite
from .verdicts import KINDS, PASSES, VERDICTS, passed, totals

EXPECTED = Path(__file__).parent / "expected"


class Comparison(NamedTuple):
    """Ids that passed when recorded and do not now, and the other way round; each sorted."""

    regressions: list[str]
    improvements: list[str]


def compare(verdicts: Mapping[str, str], name: str, folder: Path = EXPECTED) -> Comparison:
    """Compare with the recorded list of this name; tests that were not run are left out of it.

    Answers of `check` tests count like passes: neither is better, but a change must be seen.
    Raises FileNotFoundError where nothing is recorded.
    """
    lists = json.loads((folder / f"{name}.json").read_text("utf-8"))
    recorded = {each for ids in lists.values() for each in ids}
    now = {each for each, verdict in verdicts.items() if verdict in PASSES}
    # An id that the suite does not know any more is lost too, or a changed suite would go unnoticed.
    lost = {each for each in recorded - now if verdicts.get(each) != "untested"}
    return Comparison(sorted(lost), sorted(now - recorded))


def record(suite: Suite, verdicts: Mapping[str, str], name: str, folder: Path = EXPECTED) -> Path:
    """Write the list of passes under this name, and return where."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = {kind: passed(suite, verdicts, [kind]) for kind in KINDS}
    path.write_text(json.dumps(lists, indent=1) + "\n", "utf-8")
    return path


def table(suite: Suite, verdicts: Mapping[str, str]) -> str:
    """Totals by kind and verdict, then how many passed by suite, as Markdown."""
    counts = totals(suite, verdicts)
    shown = [each for each in VERDICTS if any(count[each] for count in counts.values())]
    lines = ["| kind | of | " + " | ".join(shown) + " |", "|---" * (len(shown) + 2) + "|"]
    for kind, count in counts.items():
        cells = [str(count[each]) if count[each] or each in KINDS[kind] else "" for each in shown]
        lines.append(f"| {kind} | {count.total()} | " + " | ".join(cells) + " |")
    lines += ["", "| suite | required | optimal | check |", "|---|---|---|---|"]
    for name in dict.fromkeys(test.suite for test in suite):
        ids = [test.id for test in suite if test.suite == name and verdicts[test.id] != "untested"]
        if ids:
            cells = [_cell([verdicts[each] for each in ids if suite.tests[each].kind == kind]) for kind in KINDS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(verdicts: list[str]) -> str:
    return f"{sum(each in PASSES for each in verdicts)} of {len(verdicts)}" if verdicts else ""

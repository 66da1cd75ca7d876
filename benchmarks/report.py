"""What a benchmark says: Markdown tables, one PASS or FAIL per goal, and the same as JSON in benchmarks/out/."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .versions import versions

OUT = Path(__file__).resolve().parent / "out"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal and what was measured."""

    what: str
    goal: str
    measured: str
    passed: bool


@dataclass
class Report:
    """Collects what one benchmark measured. Nothing that failed is left out."""

    name: str
    command: str
    goals: list[Goal] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=versions)
    began: float = field(default_factory=time.time)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table and print it at once."""
        self.tables.append({"title": title, "header": list(header), "rows": [list(row) for row in rows]})
        print(f"\n### {title}\n\n{markdown(header, rows)}", flush=True)

    def note(self, text: str) -> None:
        """Add a sentence that a reader of the figures must know."""
        self.notes.append(text)
        print(f"\n{text}", flush=True)

    def goal(self, what: str, goal: str, measured: object, passed: bool) -> None:
        """Add one goal."""
        self.goals.append(Goal(what, goal, str(measured), passed))
        print(f"{'PASS' if passed else 'FAIL'}  {what}: {measured} (goal: {goal})", flush=True)

    @property
    def passed(self) -> bool:
        """Whether every goal was reached."""
        return all(goal.passed for goal in self.goals)

    def finish(self) -> bool:
        """Print goals and versions, append the JSON; returns `passed`."""
        rows = [(g.what, g.goal, g.measured, "PASS" if g.passed else "**FAIL**") for g in self.goals]
        print(f"\n### {self.name}: goals\n\n{markdown(('what', 'goal', 'measured', ''), rows)}")
        print(f"\nBy `{self.command}`, {time.time() - self.began:.0f} s. Versions and machine:\n")
        print(", ".join(f"{key} {value}" for key, value in self.facts.items()), flush=True)
        OUT.mkdir(exist_ok=True)
        record = {
            "name": self.name,
            "command": self.command,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "took_s": round(time.time() - self.began, 1),
            "versions": self.facts,
            "tables": self.tables,
            "notes": self.notes,
            "goals": [asdict(goal) for goal in self.goals],
            "passed": self.passed,
        }
        with (OUT / f"{self.name}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        return self.passed


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def megabytes(size: float) -> str:
    """Bytes as MB (10^6)."""
    return f"{size / 1e6:.1f}"

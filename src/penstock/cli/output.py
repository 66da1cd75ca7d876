"""The end of a run whose output is a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..outbound.tables import TableReport

_SILENT_BYTES = 50_000_000
"""Of rows; a table of fewer is there before anybody wonders."""


def finish_output(
    summary: dict[str, Any],
    out: Path,
    rows: Path,
    write_table: Callable[[], TableReport | None],
    *,
    say: Callable[[str], None],
) -> str:
    """Write the table `out` of a complete run and note in `summary` what it holds.

    Returns where the output is, for people: `rows` as long as the run is not complete. Raises StorageError.
    """
    if rows == out:
        return str(out)
    if not summary["complete"]:
        return f"{rows} so far; {out} is written at the end"
    size = rows.stat().st_size if rows.exists() else 0
    if size > _SILENT_BYTES:
        say(f"writing {out} from {size / 1e6:,.0f} MB of rows")
    report = write_table()
    if report is not None:
        summary["table"] = {"rows": report.rows, "columns": report.columns}
    return str(out)

"""OUT of `send` and `pull`: JSON lines that grow as they come, or a table that is made of them at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputError
from ..runs.journal import Journal
from ..runs.run_folder import RunFolder
from .tables import TableReport, finish_table, require, table_format

_STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
"""Where the names of streams are, which may stand for a file now and for none in the next session."""


class RunOutput:
    """Where the output of a run is to be; in the format `otherwise` if its ending names none. Raises UsageError."""

    def __init__(self, path: Path, *, otherwise: str | None = None) -> None:
        if str(path) == "-" or path.parent in _STREAMS or (path.exists() and not _can_hold(path)):
            # What was committed must still be there when a run goes on.
            raise OutputError(
                f"--out {path} does not keep what is written to it; give the name of a file, and watch it with tail -f"
            )
        self.path = path
        self.format = table_format(path, otherwise=otherwise)
        require(self.format)

    def folder(self) -> Path:
        """Where its run folder is. Raises OutputError if there can be none."""
        if self.path.is_dir():
            raise OutputError(f"--out {self.path} is a folder; give the name of a file")
        if not self.path.parent.is_dir():
            raise OutputError(f"--out {self.path}: there is no folder {self.path.parent}")
        return self.path.with_name(self.path.name + ".run")

    def rows(self, folder: RunFolder) -> Path:
        """Where the records are kept as they come: the output itself, or what the table is made of at the end."""
        return self.path if self.format == "jsonl" else folder.path / "rows.jsonl"

    def refuse_foreign(self, folder: RunFolder) -> None:
        """Raises OutputError if there is a file that is not the output of the run in `folder`."""
        ours = folder.begun() and (self.format == "jsonl" or _marker(folder).exists())
        if self._holds_something() and not ours:
            raise OutputError(f"{self.path} exists and is not the output of a run; give another --out, or move it away")

    def let_go(self, folder: RunFolder) -> None:
        """Drop what the run before has put out; durable on return."""
        if self.format != "jsonl" or self._has_other_names():
            # Of a copy by hard links, as backups make them, the other name keeps what it has.
            folder.storage.remove(self.path)
        elif self._holds_something():
            # Emptied and not removed: it may be a link to another disk, or readable for its owner alone.
            file = folder.storage.open(self.path)
            file.truncate(0)
            file.sync()
            file.close()

    def make_files(self, folder: RunFolder) -> None:
        """Make the journal and the file of the records."""
        Journal.create(folder.storage, folder.journal)
        folder.storage.open(self.rows(folder)).close()

    def write_table(self, folder: RunFolder, columns: Sequence[str] = ()) -> TableReport | None:
        """Make the output of a complete run; None where it is JSON lines, and there already. Blocks.

        What was made before of the same records is left as it is. Raises StorageError where the disk fails; the
        records are safe then, and the same command tries again.
        """
        if self.format == "jsonl":
            return None
        return finish_table(self.rows(folder), self.path, self.format, marker=_marker(folder), columns=columns)

    def _holds_something(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def _has_other_names(self) -> bool:
        return self.path.exists() and not self.path.is_symlink() and self.path.stat().st_nlink > 1


def _can_hold(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _marker(folder: RunFolder) -> Path:
    return folder.path / "table.json"

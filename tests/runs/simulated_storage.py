"""A Storage that can crash at every operation, and then has on disk what a disk may have after a power cut.

What the program sees are real files in a temporary folder. Beside them a model keeps what is durable, and what was
done since the last sync. After a power cut any part of that may be there or not: of a write each sector by itself,
a truncation, a new directory entry, a rename, a removal. Files that it was not asked for are not its own.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 64
"""Smaller than a real one, so that small tests have many."""


class Crash(BaseException):
    """The machine stops here."""


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, data) of writes, (size, None) of truncations, since the last sync."""

    def after_power_cut(self, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if chance.random() < 0.5:
                    del content[offset:]
                continue
            while data:
                piece = SECTOR - offset % SECTOR
                if chance.random() < 0.6:
                    content.extend(bytes(max(0, offset - len(content))))
                    content[offset : offset + piece] = data[:piece]
                offset, data = offset + piece, data[piece:]
        return bytes(content)


class SimulatedStorage:
    """Files in `folder` and below. `steps` operations are carried out, then Crash is raised; None never crashes."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.steps: int | None = None
        self.operations = 0
        self._chance = random.Random(seed)
        self._live: dict[Path, _File] = {}
        self._durable: dict[Path, _File] = {}
        self._handles: list[io.FileIO] = []
        self._renames: list[tuple[Path | None, Path | None, _File]] = []
        """(source or None for a new file, target or None for a removed one, file) since its folder was last synced."""

    def _step(self) -> None:
        self.operations += 1
        if self.steps is not None:
            if self.steps == 0:
                raise Crash
            self.steps -= 1

    def crash(self, *, power_cut: bool) -> None:
        """Make the folder what it is after the machine (or, without `power_cut`, just the process) has stopped."""
        for handle in self._handles:
            handle.close()
        self._handles.clear()
        if power_cut:
            entries = dict(self._durable)
            for source, target, file in self._renames:
                if self._chance.random() < 0.5:
                    if source is not None:
                        entries.pop(source, None)
                    if target is not None:
                        entries[target] = file
            content = {path: file.after_power_cut(self._chance) for path, file in entries.items()}
        else:
            content = {path: path.read_bytes() for path in self._live}
        for path in self._live:
            path.unlink()
        for path, data in content.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        self._renames.clear()
        if power_cut:
            self._live = {path: _File(bytearray(data)) for path, data in content.items()}
            self._durable = dict(self._live)
        self.steps = None

    # -- Storage ------------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> _OpenFile:
        self._make(path)
        self._sync_folder(path.parent)
        return _OpenFile(self, path, self._live[path])

    def write_new(self, path: Path, data: bytes) -> None:
        part = path.with_name(path.name + ".part")
        self._make(part)
        file = _OpenFile(self, part, self._live[part])
        file.truncate(0)
        file.append(data)
        file.sync()
        file.close()
        self.replace(part, path)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        source.replace(target)
        self._live[target] = self._live.pop(source)
        self._renames.append((source, target, self._live[target]))
        self._sync_folder(target.parent)

    def remove(self, path: Path) -> None:
        if path in self._live:
            self._step()
            path.unlink()
            self._renames.append((path, None, self._live.pop(path)))
        self._sync_folder(path.parent)

    def _make(self, path: Path) -> None:
        if path not in self._live:
            self._step()
            path.write_bytes(b"")
            self._live[path] = _File()
            self._renames.append((None, path, self._live[path]))

    def _sync_folder(self, folder: Path) -> None:
        self._step()
        elsewhere = {path: file for path, file in self._durable.items() if path.parent != folder}
        self._durable = elsewhere | {path: file for path, file in self._live.items() if path.parent == folder}
        self._renames = [each for each in self._renames if (each[1] or each[0] or folder).parent != folder]


class _OpenFile:
    def __init__(self, storage: SimulatedStorage, path: Path, file: _File) -> None:
        self._storage = storage
        self._file = file
        # Opened once, so that a file that was replaced in the meantime is still the one that was opened.
        self._real = io.FileIO(path, "r+")
        storage._handles.append(self._real)

    def size(self) -> int:
        return self._real.seek(0, 2)

    def append(self, data: bytes | bytearray) -> None:
        self._storage._step()
        offset = self.size()
        self._real.write(data)
        self._file.pending.append((offset, bytes(data)))

    def truncate(self, size: int) -> None:
        self._storage._step()
        self._real.truncate(size)
        self._file.pending.append((size, None))

    def read(self, offset: int, length: int) -> bytes:
        self._real.seek(offset)
        return self._real.read(length)

    def sync(self) -> None:
        self._storage._step()
        size = self._real.seek(0, 2)
        self._file.durable = bytearray(self.read(0, size))
        self._file.pending.clear()

    def close(self) -> None:
        self._real.close()

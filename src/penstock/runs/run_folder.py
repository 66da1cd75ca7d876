"""The run folder `OUT.run/`: one durable run, its lock, and the fingerprint of what it belongs to.

::

    OUT.run/
      lock          held while a process works on the run
      run.json      the fingerprint: input, request, version
      journal       what is committed
      limit-*.log   recent sends, for the limits
      input.index   where every 4,096th record begins
      input.digests  a checksum of each block of the input, to which it is held
      stdin         the input, where it was piped in; stdin.part while it is copied, and until a --fresh run has begun
      series.jsonl  the run over time, for people and plots; beside it sessions.jsonl and examples.json
      rows.jsonl    the records, where the output is a table: it is made of them at the end
      table.json    which of them the table at OUT holds
      marks         of a pull: what each page was, to know it when it comes again
      keys.sqlite   of a pull with --key: the keys that were written
      paging.json   of a pull with --paginate auto: how the API was found to page
      failed.jsonl  of a pull: the pages that failed

No secret gets here: of the request only salted digests are kept, of headers only their names, and the command in
`sessions.jsonl` comes without what looks like one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ..errors import OutputError, RunLocked, RunRefused
from .storage import DISK, Storage

FORMAT = 1
_KEPT = ("lock", "stdin", "stdin.part")


class RunFolder:
    """The folder of one run; open it with `RunFolder.open` and close it."""

    def __init__(self, path: Path, lock_fd: int, storage: Storage) -> None:
        self.path = path
        self.storage = storage
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path, storage: Storage = DISK) -> RunFolder:
        """Make the folder where it is not there, and lock it.

        Raises RunLocked if another process works on it, OutputError if it cannot be written.
        """
        fd = _lock(path)
        while not os.fstat(fd).st_nlink:
            # Another process has left, and tidied up after itself.
            os.close(fd)
            fd = _lock(path)
        # The number is for the message above; the lock holds without it, also where the disk is full.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        return cls(path, fd, storage)

    def close(self) -> None:
        """Release the lock. A folder in which nothing was begun goes with it."""
        if self._lock_fd >= 0:
            with contextlib.suppress(OSError):
                if [entry.name for entry in self.path.iterdir()] == ["lock"]:
                    (self.path / "lock").unlink()
                    self.path.rmdir()
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def journal(self) -> Path:
        """Where the journal is."""
        return self.path / "journal"

    def begun(self) -> bool:
        """Whether a run was begun here: its fingerprint is there, which is written when all else is durable."""
        return (self.path / "run.json").exists()

    def clear(self) -> None:
        """Forget the run, but for the lock, its input, and the logs of recent sends, which are the API's business.

        The fingerprint goes first, and durably, so that a crash in between leaves a folder that counts as not begun.
        """
        self.storage.remove(self.path / "run.json")
        for entry in self.path.iterdir():
            if entry.name in _KEPT or (entry.name.startswith("limit-") and entry.suffix == ".log"):
                continue
            shutil.rmtree(entry) if entry.is_dir() else self.storage.remove(entry)

    def write_fingerprint(self, facts: Mapping[str, Any], private: Mapping[str, str]) -> None:
        """Keep `facts` as they are, and of `private` only salted digests."""
        salt = secrets.token_hex(16)
        kept = {
            "format": FORMAT,
            "salt": salt,
            "facts": dict(facts),
            "private": {name: _digest(salt, value) for name, value in private.items()},
        }
        self.storage.write_new(self.path / "run.json", orjson.dumps(kept, option=orjson.OPT_INDENT_2))

    def read_fingerprint(self) -> dict[str, Any]:
        """The facts as kept. Raises RunRefused if they cannot be read."""
        kept = self._kept()
        facts: dict[str, Any] = kept["facts"]
        return facts

    def run_id(self) -> str:
        """A name of this run that no other run has; the same in all its sessions."""
        return str(self._kept()["salt"])

    def check_fingerprint(self, facts: Mapping[str, Any], private: Mapping[str, str]) -> None:
        """Raises RunRefused if the run belongs to something else, naming all that differs."""
        kept = self._kept()
        differs = [name for name in {**kept["facts"], **facts} if kept["facts"].get(name) != facts.get(name)]
        digests = {name: _digest(kept["salt"], value) for name, value in private.items()}
        differs += [name for name in {**kept["private"], **digests} if kept["private"].get(name) != digests.get(name)]
        if kept["format"] != FORMAT:
            differs.insert(0, "the format of the run folder")
        if differs:
            raise RunRefused(
                f"{self.path} belongs to another run: {_and(differs)} {'differs' if len(differs) == 1 else 'differ'}; "
                "give the same command to go on, another --out to keep both, or --fresh to start afresh",
                differs=tuple(differs),
            )

    def _kept(self) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = orjson.loads((self.path / "run.json").read_bytes())
            kept["facts"], kept["private"], kept["salt"], kept["format"]  # all must be there
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise RunRefused(f"{self.path}/run.json cannot be read ({error}); --fresh starts afresh") from error
        return kept


def _digest(salt: str, value: str) -> str:
    return hashlib.sha256(f"{salt}:{value}".encode()).hexdigest()


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lock(path: Path) -> int:
    """The descriptor of the locked file in the folder `path`, which is made. Raises RunLocked and OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write to {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise RunLocked(
            f"{path} is in use by process {pid or '(unknown)'}; wait for it, or give another --out",
            pid=int(pid) if pid.isdigit() else None,
        ) from error
    return fd

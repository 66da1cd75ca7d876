"""A run is opened here and nowhere else: locked, compared with what it belongs to, and begun or taken up again.

Each step is durable before the next, whatever kind of run it is::

    lock -> is it new? -> survey, which may refuse -> old output goes -> old fingerprint goes -> old files go
            | no              -> files of the new run -> fingerprint --+
            +----------------------------------------------------------+--> what is done, and go on

The fingerprint goes first and comes last: a folder that has one has all that a run needs, any other counts as not
begun. The output goes before it, while it still tells that the output is ours; else a crash in between would leave a
file of nobody, which the next start has to refuse.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import OutputError, RunRefused
from .journal import Journal
from .run_folder import RunFolder
from .storage import DISK, Storage

Fingerprint = tuple[dict[str, Any], dict[str, str]]
"""What a run belongs to: facts that are kept as they are, and texts of which only digests are."""


class _Closable(Protocol):
    def close(self) -> None: ...


Run = TypeVar("Run", bound=_Closable)


def nothing_in_journal(folder: RunFolder) -> bool:
    """Whether the run in `folder` has nothing done. Raises RunRefused if its journal cannot be read."""
    journal = Journal.open(folder.storage, folder.journal)
    journal.close()
    return journal.state.done.count == 0


class Opening:
    """A run in its locked folder, on its way to be opened: first ask `is_new`, and if it is, `begin` it."""

    def __init__(self, folder: RunFolder, *, fresh: bool) -> None:
        self.folder = folder
        self.begun = folder.begun() and not fresh
        self._fingerprint: Fingerprint = ({}, {})

    def is_new(
        self,
        fingerprint: Fingerprint,
        nothing_done: Callable[[RunFolder], bool] = nothing_in_journal,
        later: Sequence[str] = (),
    ) -> bool:
        """Whether the run of this fingerprint is still to begin; `later` names facts that only `begin` is given.

        Raises RunRefused if there is a run of another one, unless it has nothing done.
        """
        self._fingerprint = facts, private = fingerprint
        if self.begun:
            try:
                known = {name: self.folder.read_fingerprint().get(name) for name in later}
                self.folder.check_fingerprint(facts | known, private)
                return False
            except RunRefused:
                # A first try with a wrong option must not stand in the way of the second.
                if not nothing_done(self.folder):
                    raise
        return True

    @contextlib.contextmanager
    def begin(self, let_go: Callable[[RunFolder], None] = lambda folder: None, **later: Any) -> Iterator[None]:
        """Drop the run before, whose output `let_go` removes durably; in the context the files of the new one are made.

        Whatever may refuse the new run belongs before this.
        """
        let_go(self.folder)
        self.folder.clear()
        yield
        facts, private = self._fingerprint
        self.folder.write_fingerprint(facts | later, private)


@contextlib.contextmanager
def open_run(
    path: Path, open_it: Callable[[Opening], Run], *, fresh: bool = False, storage: Storage = DISK
) -> Iterator[Run]:
    """What `open_it` makes of the run in the folder `path`, which is locked as long as the context lasts. Blocks.

    `fresh` begins anew whatever is there. Raises RunLocked if another process works on it, OutputError where a file
    may not be touched, and what `open_it` raises.
    """
    with RunFolder.open(path, storage) as folder:
        try:
            run = open_it(Opening(folder, fresh=fresh))
        except OSError as error:
            raise OutputError(f"{error.filename or path}: {error.strerror or error}; nothing was sent") from error
        with contextlib.closing(run):
            yield run


def learn_fingerprint(folder: RunFolder, fingerprint: Fingerprint) -> None:
    """Keep what an open run was only now found to belong to."""
    folder.write_fingerprint(*fingerprint)

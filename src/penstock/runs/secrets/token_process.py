"""Run a command for what it prints, without a shell, for a bounded time, and leave no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process

from ...errors import UsageError

LONGEST_SECONDS = 30.0
"""The command is ended after that."""

_MOST_BYTES = 64 << 10
_QUOTED = 300
_LEAVE_SECONDS = 1.0


async def output_of(command: str) -> str:
    """What `command` prints. Raises UsageError, which quotes what it says on standard error, where it fails."""
    process = await _start(command)
    over = False
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            assert process.stdout is not None
            assert process.stderr is not None
            printed, said = await asyncio.gather(_all_of(process.stdout), _all_of(process.stderr))
            code = await process.wait()
        over = True
    except TimeoutError:
        raise UsageError(f"it was not done after {LONGEST_SECONDS:g} s, and was ended") from None
    finally:
        if not over:
            await _end(process)
    if code:
        words = " ".join(said.split())
        raise UsageError(f"it failed with exit status {code}" + (f": {words[:_QUOTED]}" if words else ""))
    return printed


async def _start(command: str) -> Process:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"it is no command: {error}") from None
    if not words:
        raise UsageError("it is no command: there is nothing in it")
    if shutil.which(words[0]) is None:
        raise UsageError(f"{words[0]} cannot be run: there is no such program")
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            # A group of its own, so that what it starts can be ended with it, and Ctrl-C is ours.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"{words[0]} cannot be run: {why}") from None


async def _all_of(stream: asyncio.StreamReader) -> str:
    """To the end, of which no more is kept than a token can have."""
    kept = bytearray()
    while some := await stream.read(_MOST_BYTES):
        kept += some[: _MOST_BYTES - len(kept)]
    return kept.decode("utf-8", "replace")


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # What is left in its pipes is read, because that closes them; who has left its group may keep them open.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEAVE_SECONDS):
            await process.communicate()
    await process.wait()

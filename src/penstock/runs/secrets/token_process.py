"""Run a command for what it prints, without a shell, for a bounded time, and leave no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from typing import IO

from ...errors import UsageError

LONGEST_SECONDS = 30.0
"""The command is ended after that."""

_MOST_BYTES = 64 << 10
_QUOTED = 300


async def output_of(command: str) -> str:
    """What `command` prints. Raises UsageError, which quotes what it says on standard error, where it fails."""
    words = _words(command)
    async with _pipe() as (printing, out), _pipe() as (saying, err):
        process = await _start(words, out, err)
        over = False
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                printed, said = await asyncio.gather(_all_of(printing), _all_of(saying))
                code = await process.wait()
            over = True
        except TimeoutError:
            raise UsageError(f"it was not done after {LONGEST_SECONDS:g} s, and was ended") from None
        finally:
            if not over:
                await _end(process)
    if code:
        quoted = " ".join(said.split())
        raise UsageError(f"it failed with exit status {code}" + (f": {quoted[:_QUOTED]}" if quoted else ""))
    return printed


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, IO[bytes]]]:
    """What comes out of a pipe, and where to write to.

    asyncio has pipes of its own for a process, and waits for those before it tells that the process has ended: for as
    long as anybody has them open, perhaps for ever.
    """
    read, write = os.pipe()
    reading, writing = os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)
    with writing, reading:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, reading)
        try:
            yield reader, writing
        finally:
            transport.close()


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"it is no command: {error}") from None
    if not words:
        raise UsageError("it is no command: there is nothing in it")
    if shutil.which(words[0]) is None:
        raise UsageError(f"{words[0]} cannot be run: there is no such program")
    return words


async def _start(words: list[str], out: IO[bytes], err: IO[bytes]) -> Process:
    try:
        # A group of its own, so that what it starts can be ended with it, and Ctrl-C is ours.
        return await asyncio.create_subprocess_exec(
            *words, stdin=DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"{words[0]} cannot be run: {why}") from None
    finally:
        out.close()
        err.close()


async def _all_of(stream: asyncio.StreamReader) -> str:
    """To the end, of which no more is kept than a token can have."""
    kept = bytearray()
    while some := await stream.read(_MOST_BYTES):
        kept += some[: _MOST_BYTES - len(kept)]
    return kept.decode("utf-8", "replace")


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()

"""`penstock`: the command line. Exit codes are the same for all commands.

0  finished, every item is ok
1  finished, some items failed
2  could not start: usage, input, output; nothing was sent
3  stopped before the end; the same command goes on from there
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from .._version import __version__
from ..errors import PenstockError, Stopped, StorageError, UsageError
from .check import check
from .demo import demo
from .exit_codes import COULD_NOT_START, INTERRUPTED, OK, STOPPED
from .explain import explain
from .log import JsonLog, wants_json_log
from .move import move
from .proxy import proxy
from .pull import pull
from .purge import purge
from .report import report
from .send import send
from .status import status
from .terminal import echo
from .top import top


class _Commands(click.Group):
    """Click answers an interrupt with an empty line, before whatever we say."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out the command that was typed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped(INTERRUPTED) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="penstock")
def penstock() -> None:
    """Many HTTP calls out of one small machine, and a shared HTTP cache for the many that come in.

    \b
    Exit codes:
      0  finished, every item is ok
      1  finished, some items failed or may be wrong
      2  could not start: usage, input, output; nothing was sent
      3  stopped before the end; the same command goes on from there
    """  # noqa: D301  # \b is click's mark for "keep these lines", and a raw text would show it


penstock.add_command(send)
penstock.add_command(pull)
penstock.add_command(check)
penstock.add_command(move)
penstock.add_command(proxy)
penstock.add_command(purge)
penstock.add_command(explain)
penstock.add_command(top)
penstock.add_command(report)
penstock.add_command(status)
penstock.add_command(demo)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    sys.exit(run_command(arguments))


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; every error becomes one line on standard error and an exit code."""
    typed = tuple(sys.argv[1:] if arguments is None else arguments)
    try:
        code = penstock.main(args=arguments, prog_name="penstock", standalone_mode=False, obj=typed)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return COULD_NOT_START
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "penstock"
        return _fail(COULD_NOT_START, f"{_with_proposals(error)} (see {command} --help)", typed, by=command)
    except click.ClickException as error:
        return _fail(COULD_NOT_START, error.format_message(), typed)
    except UsageError as error:
        return _fail(COULD_NOT_START, str(error), typed, command=error.command)
    except StorageError as error:
        return _fail(STOPPED, str(error), typed)
    except PenstockError as error:
        return _fail(STOPPED, str(error), typed)
    except (click.Abort, KeyboardInterrupt):
        # Interrupted before the run began or after it ended: nothing is in flight.
        return _fail(STOPPED, INTERRUPTED, typed)
    except BrokenPipeError:
        # Whoever read our output has gone; what was done is saved.
        sys.stderr.close()
        return STOPPED
    return code if isinstance(code, int) else OK


def _with_proposals(error: click.UsageError) -> str:
    """What is wrong, and what may be meant: the most alike first, which click puts in the order of the alphabet."""
    proposals = getattr(error, "possibilities", None)
    if not proposals:
        return error.format_message()
    return f"{error.message} Did you mean {' or '.join(proposals)}?"


def _fail(code: int, message: str, typed: Sequence[str], *, by: str = "penstock", command: str = "") -> int:
    """Say `message`; a `command` that it ends with gets a line of its own, so that it can be copied."""
    if wants_json_log(typed):
        JsonLog(typed[0]).error(message, code)
        return code
    text = " ".join(message.removesuffix(command).split())
    echo(f"{by}: {text}")
    if command:
        echo(command)
    return code

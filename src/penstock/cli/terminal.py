"""Text for people: on a terminal, lines break between words and go on below where they began."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

import click

_NARROWEST = 40
_LABEL = re.compile(r" +(?:\S+(?: \S+)?  +)?")
_COMMAND = re.compile(r" *penstock [a-z]")


def echo(text: str, *, err: bool = True) -> None:
    """Print `text` to standard error, or to standard output; what is no terminal gets lines of any length."""
    click.echo("\n".join(folded(text, err=err)), err=err)


def folded(text: str, *, err: bool = True) -> list[str]:
    """The lines of `text` as they are printed."""
    lines = text.split("\n")
    width = terminal_width(err=err)
    return lines if width is None else [part for line in lines for part in fold(line, width)]


def terminal_width(*, err: bool = False) -> int | None:
    """Columns of the terminal, None where there is none."""
    if not (sys.stderr if err else sys.stdout).isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def fold(line: str, width: int) -> list[str]:
    """`line` in parts of at most `width`, but for words that are longer; a label at its beginning stands alone.

    A command stays in one piece: it is there to be copied.
    """
    if len(line) <= width or _COMMAND.match(line):
        return [line]
    label = _LABEL.match(line)
    indent = " " * len(label[0]) if label else "  "
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )

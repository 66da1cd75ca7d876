"""A process of `penstock send --processes N`, started by it and by nobody else: commands come in, frames go out."""

from __future__ import annotations

import os
import sys

from ..scale.local.child import work
from .loop import run_loop

COMMAND = (sys.executable, "-P", "-m", "penstock.cli.child")
"""What starts one."""


def main() -> None:
    """Read standard input, write to standard output."""
    results = os.dup(1)
    # Nothing that a library prints may get between the frames.
    os.dup2(2, 1)
    run_loop(work(os.dup(0), results))


if __name__ == "__main__":
    main()

"""What to install for the parts that need more than penstock itself: said here and nowhere else."""

from __future__ import annotations

DISTRIBUTION = "penstock-http"
"""The name to install by. The import and the command are `penstock`, which as a distribution is another project."""


def how_to_install(extra: str) -> str:
    """What to type where the libraries of `extra` are missing; the end of a message."""
    return f"pip install '{DISTRIBUTION}[{extra}]'; from a clone: pip install '.[{extra}]'"

"""The state of all routes as a file: `$PENSTOCK_ARMS`, or `arms.json` in the folder of the process."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "PENSTOCK_ARMS"
USUAL = "arms.json"


def state_path() -> Path:
    """Where the state is looked for."""
    return Path(os.environ.get(VARIABLE) or USUAL).absolute()

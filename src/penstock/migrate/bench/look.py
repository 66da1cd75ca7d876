"""A look at the app before anything is measured, in a process of its own: can it be imported, and which arms has it?"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...errors import PenstockError, UsageError
from ...rules.moving.state import CONTROL
from ..table import ROUTES
from .load_app import load

COMMAND = (sys.executable, "-P", "-m", "penstock.migrate.bench.look")
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class AppSeen:
    """What is known of an app. `arms`: those of each route that `penstock.arms` knows of, the control left out."""

    factory: str = ""
    arms: Mapping[str, list[str]] = field(default_factory=dict)
    has_uvloop: bool = False
    error: str = ""


def look(app: str, environment: Mapping[str, str]) -> AppSeen:
    """Import the app elsewhere. Raises UsageError where it cannot be imported, with what it says."""
    try:
        ended = subprocess.run(  # noqa: S603  # our own module
            [*COMMAND, app],
            env=environment,
            capture_output=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{app} was not imported within {_SECONDS:.0f} s: does it serve when it is imported?"
        ) from None
    lines = ended.stdout.splitlines()
    if ended.returncode != 0 or not lines:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"{app} cannot be imported: its process ended with {ended.returncode} {' '.join(last)}")
    seen = AppSeen(**json.loads(lines[-1]))
    if seen.error:
        raise UsageError(seen.error)
    return seen


def main(arguments: list[str]) -> None:
    """Print an AppSeen as JSON; what the app itself prints goes to standard error."""
    results = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, str(Path.cwd()))
    seen = _look_here(arguments[0])
    os.write(results, json.dumps(asdict(seen)).encode() + b"\n")
    os._exit(0)


def _look_here(name: str) -> AppSeen:
    try:
        factory = load(name).factory
    except PenstockError as error:
        return AppSeen(error=f"{name} cannot be imported: {' '.join(str(error).split())}{_where(error)}")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it is somebody else's code, and may raise anything
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return AppSeen(error=f"{name} cannot be imported: {what}{_where(error)}")
    return AppSeen(factory, _arms(), importlib.util.find_spec("uvloop") is not None)


def _arms() -> dict[str, list[str]]:
    """What `penstock.arms` knows of by now."""
    return {name: [arm for arm in route.arm_names if arm != CONTROL] for name, route in ROUTES.items()}


def _where(error: BaseException) -> str:
    """The last line of the app's own code that the error went through."""
    not_own = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parent), "<")
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(not_own) and "site-packages" not in frame.filename
    ]
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    if not own:
        return ""
    last = own[-1]
    return f" ({last.filename}:{last.lineno}: {last.line})"


if __name__ == "__main__":
    main(sys.argv[1:])

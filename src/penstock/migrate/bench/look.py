"""A look at the app before anything is measured, in a process of its own: can it be imported, and which arms has it?"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

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
    plain: list[str] = field(default_factory=list)
    """The routes that are served under WSGI."""
    bypassed: list[str] = field(default_factory=list)
    """The routes whose function the framework has without its arms."""
    error: str = ""


def look(app: str, environment: Mapping[str, str]) -> AppSeen:
    """Import the app elsewhere. Raises UsageError where it cannot be imported, with what it says."""
    # Files, not pipes: what the app has started may hold their other end for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        code = _imported(app, environment, output, errors)
        lines = _lines(output)
        last = _lines(errors)[-1:]
    if code != 0 or not lines:
        said = " ".join(each.decode(errors="replace") for each in last)
        raise UsageError(f"{app} cannot be imported: its process ended with {code} {said}")
    seen = AppSeen(**json.loads(lines[-1]))
    if seen.error:
        raise UsageError(seen.error)
    return seen


def _imported(app: str, environment: Mapping[str, str], output: IO[bytes], errors: IO[bytes]) -> int:
    """The exit code of the process that imports it; what that has started ends with it."""
    process = subprocess.Popen(  # noqa: S603  # our own module
        [*COMMAND, app],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        return process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{app} was not imported within {_SECONDS:.0f} s: does it serve when it is imported?"
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(file: IO[bytes]) -> list[bytes]:
    file.seek(0)
    return file.read().strip().splitlines()


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
        loaded = load(name)
    except PenstockError as error:
        return AppSeen(error=f"{name} cannot be imported: {' '.join(str(error).split())}{_where(error)}")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it is somebody else's code, and may raise anything
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return AppSeen(error=f"{name} cannot be imported: {what}{_where(error)}")
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    plain = [name for name, route in ROUTES.items() if route.wsgi]
    return AppSeen(loaded.factory, _arms(), has_uvloop, plain, _bypassed(loaded.app))


def _arms() -> dict[str, list[str]]:
    """What `penstock.arms` knows of by now."""
    return {name: [arm for arm in route.arm_names if arm != CONTROL] for name, route in ROUTES.items()}


def _bypassed(app: Any) -> list[str]:
    served = list(_endpoints(app))
    armed = [getattr(each, "control", None) for each in served]
    return [
        name
        for name, route in ROUTES.items()
        if any(each is route.control for each in served) and not any(each is route.control for each in armed)
    ]


def _endpoints(app: Any) -> Iterator[Any]:
    """What Starlette, FastAPI or Flask calls for its routes, as far as the app shows it."""
    yield from getattr(app, "view_functions", {}).values()
    for route in getattr(app, "routes", None) or ():
        yield getattr(route, "endpoint", None)
        yield from _endpoints(route)


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

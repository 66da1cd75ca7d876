"""Where an extra is missing, the message says what to type: the same everywhere, and what then helps."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.adapters import aiohttp, httpx, httpx2, requests
from penstock.cli.main import penstock as group
from penstock.clients.aiohttp import AiohttpClient
from penstock.errors import BadBody, PenstockError, UsageError
from penstock.extras import DISTRIBUTION
from penstock.observe.exposition import exposition
from penstock.outbound.tables.formats import require
from penstock.outbound.vectors import numeric
from penstock.outbound.vectors.hdf5 import Hdf5Rows
from penstock.outbound.vectors.parquet import ParquetRows
from penstock.report.png import write_png
from penstock.wire.content_coding import decode

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "penstock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PICTURE: Any = None
FILE = Path("v")


def command(*arguments: str) -> None:
    """Carry out a command; its refusal is raised."""
    CliRunner().invoke(group, arguments, standalone_mode=False, catch_exceptions=False)


# Extra, the library that is not there, and what then cannot be done. A second library has a row of its own.
MISSING: list[tuple[str, str, Callable[[], object]]] = [
    ("vectors", "numpy", lambda: importlib.reload(numeric)),
    ("vectors", "numpy", lambda: command("check", "v.bin", "--dim", "4", "--url", "http://127.0.0.1:9/", "--out", "o")),
    ("vectors", "numpy", lambda: command("demo", "--out", "o")),
    ("parquet", "pyarrow", lambda: require("parquet")),
    ("parquet", "pyarrow", lambda: ParquetRows(FILE, None, None)),
    ("hdf5", "h5py", lambda: Hdf5Rows(FILE, None, None)),
    ("prometheus", "prometheus_client", lambda: exposition([])),
    ("compression", "brotli", lambda: decode("br", b"x", 9)),
    ("compression", "zstandard", lambda: decode("zstd", b"x", 9)),
    ("aiohttp", "aiohttp", AiohttpClient),
    ("aiohttp", "aiohttp", lambda: importlib.reload(aiohttp)),
    ("httpx", "httpx", lambda: importlib.reload(httpx)),
    ("httpx2", "httpx2", lambda: importlib.reload(httpx2)),
    ("requests", "requests", lambda: importlib.reload(requests)),
    ("report", "matplotlib", lambda: write_png(PICTURE, FILE)),
    ("move", "uvicorn", lambda: command("demo", "move")),
]


def hide(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it was not installed."""
    for module in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(("extra", "library", "use"), MISSING)
def test_the_message_says_what_to_type(
    extra: str,
    library: str,
    use: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One line, for who has a clone as well. `penstock[vectors]`, as it was, gives the package of somebody else."""
    monkeypatch.chdir(tmp_path)
    hide(library, monkeypatch)
    with pytest.raises(PenstockError) as raised:
        use()
    assert isinstance(raised.value, UsageError | BadBody)
    message = str(raised.value)
    assert message.endswith(f": pip install 'penstock-http[{extra}]'; from a clone: pip install '.[{extra}]'")
    assert "\n" not in message
    brings = {re.split(r"[<>=]", each)[0].replace("-", "_") for each in EXTRAS[extra]}
    assert library in brings


def test_every_extra_has_its_row() -> None:
    """A new extra must not be without a message."""
    assert {extra for extra, _, _ in MISSING} == set(EXTRAS)


def test_the_name_is_that_of_the_project() -> None:
    """What the messages say is what is built, what CI looks for, and what `make` expects in its environment."""
    assert PROJECT["name"] == DISTRIBUTION
    assert f"/{DISTRIBUTION.replace('-', '_')}-*.whl" in (ROOT / ".ci" / "run").read_text()
    assert rf"{DISTRIBUTION}\[vectors\]" in (ROOT / "scripts" / "check_wheel").read_text()
    assert f"MADE := $(VENV)/.made-{DISTRIBUTION}\n" in (ROOT / "Makefile").read_text()


def test_what_to_install_is_said_in_one_place() -> None:
    """Nobody else writes such a sentence; eleven had copies of it."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.search(r"\bpip\d? install|penstock(-http)?\[|penstock-http", text):
                found.append(str(path.relative_to(PACKAGE)))
    assert set(found) == {"extras.py"}

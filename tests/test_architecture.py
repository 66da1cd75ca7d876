"""The shape of the code: which way imports go, how long a file may get, and that every public name says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "penstock"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 500

# Where each third-party package may be imported: a module, or a package and all in it. Another package, or the same
# in another place, is a decision; write it down here and in docs/design.md.
HOMES = {
    "aiohttp": ["penstock.clients.aiohttp"],
    "brotli": ["penstock.wire.content_coding"],
    "click": ["penstock.cli"],
    "h5py": ["penstock.outbound.vectors.hdf5"],
    # The fault server parses for itself: a judge must not share the code it judges.
    "http_sf": ["penstock.rules.caching.targeted"],
    "httptools": ["penstock.wire.response_reader", "penstock.wire.server.request_reader", "penstock.testing"],
    "jmespath": ["penstock.outbound.interpreter", "penstock.outbound.vectors.answers"],
    "matplotlib": ["penstock.report.png"],
    # The commands only look whether it is there, to say which extra is missing.
    "numpy": ["penstock.outbound.vectors", "penstock.testing", "penstock.cli.check", "penstock.cli.demo"],
    # JSON is everywhere but in rules, which are pure.
    "orjson": [
        "penstock.cli",
        "penstock.inbound",
        "penstock.messages",
        "penstock.outbound",
        "penstock.report",
        "penstock.runs",
        "penstock.scale",
        "penstock.testing",
    ],
    "prometheus_client": ["penstock.observe.prometheus", "penstock.observe.exposition"],
    "pyarrow": ["penstock.outbound.vectors.parquet", "penstock.outbound.tables.parquet_file"],
    "rich": ["penstock.cli.live", "penstock.cli.top_view"],
    "uvloop": ["penstock.cli.loop", "penstock.testing"],
    "yarl": ["penstock.clients.aiohttp"],
    "zstandard": ["penstock.wire.content_coding"],
}
# Needed by every installation; all others are extras and are imported inside the function that needs them.
CORE = {"click", "http_sf", "httptools", "jmespath", "orjson", "rich", "uvloop"}
# Modules that are nothing without their extra; nobody imports them before it is needed.
BEHIND_AN_EXTRA = ("penstock.outbound.vectors", "penstock.testing.vector_index", "penstock.clients.aiohttp")


def test_imports_go_one_way() -> None:
    """Every contract under [tool.importlinter] in pyproject.toml holds."""
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_stays_small(path: Path) -> None:
    """A file that grows beyond this has two subjects."""
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_third_party_packages_have_one_home(path: Path) -> None:
    """Replacing a library must be the work of one place."""
    module = module_name(path)
    for package, _ in third_party_imports(path):
        homes = HOMES.get(package)
        assert homes is not None, f"{module} imports {package}, which has no home yet"
        assert is_below(module, homes), f"{module} imports {package}, whose home is {', '.join(homes)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_extras_are_imported_where_they_are_needed(path: Path) -> None:
    """An installation without extras must be able to import everything else."""
    module = module_name(path)
    if is_below(module, BEHIND_AN_EXTRA):
        return
    at_import = {package for package, is_late in third_party_imports(path) if not is_late}
    assert at_import <= CORE


def test_every_home_is_lived_in() -> None:
    """The list of homes holds nothing that has gone."""
    used = {package for path in MODULES for package, _ in third_party_imports(path)}
    assert used == set(HOMES)


@pytest.mark.parametrize("package", ["penstock", "penstock.testing", "penstock.rules.retries.verdict"])
def test_every_public_name_says_what_it_is(package: str) -> None:
    """Classes and functions, and the methods and properties of classes, have a docstring of their own."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    silent = [
        f"{package}.{name}{member}"
        for name in names
        for member in silent_members(getattr(module, name))
        if name != "__version__"
    ]
    assert not silent


def test_the_public_names_are_sorted_and_all_there_is() -> None:
    """`__all__` is what `import penstock` makes reachable, besides its subpackages."""
    import penstock

    reachable = {
        name for name, value in vars(penstock).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(penstock.__all__) == reachable | {"__version__"}
    assert len(set(penstock.__all__)) == len(penstock.__all__)


def silent_members(value: object) -> Iterator[str]:
    """What of a public name has no docstring; `""` for the name itself. Constants and type aliases have none."""
    if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("penstock"):
        return
    if not (value.__doc__ or "").strip():
        yield ""
    if not inspect.isclass(value):
        return
    for name, member in vars(value).items():
        documented = inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
        if documented and not name.startswith("_") and not (inspect.getdoc(getattr(value, name)) or "").strip():
            yield f".{name}"


def third_party_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(package, whether it is imported inside a function or for types only) for each import in a file."""
    tree = ast.parse(path.read_text())
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_for_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in ("penstock", "_typeshed"):
                yield package, id(node) in late


def is_for_types(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def module_name(path: Path) -> str:
    """`penstock.cli.main`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_below(module: str, homes: list[str] | tuple[str, ...]) -> bool:
    """Whether the module is one of these, or in one of these packages."""
    return any(module == home or module.startswith(f"{home}.") for home in homes)

"""The shape of the code: which way imports go, how long things may get, and that every name says one thing."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "penstock"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 500
MOST_IN_OUTBOUND = 8_000
LARGEST_SHARE = {"outbound": 0.20, "inbound": 0.17, "rules": 0.17}
"""Of all lines; of any other room 15 %. The two wings may have more: what they hold is split in rooms of their own.

`rules` may have a little more: it holds the pure part of every other room, a subject for each, and pure is where a
decision is to be. That it buries nothing is seen by its subjects.
"""
LARGEST_SUBJECT = 0.05
"""Of all lines, for each subject of `rules`."""

# Where each third-party package may be imported: a module, or a package and all in it. Another package, or the same
# in another place, is a decision; write it down here and in docs/design.md.
HOMES = {
    "aiohttp": ["penstock.adapters.aiohttp", "penstock.clients.aiohttp"],
    "brotli": ["penstock.wire.content_coding"],
    "click": ["penstock.cli"],
    "h5py": ["penstock.outbound.vectors.hdf5"],
    # The fault server parses for itself: a judge must not share the code it judges.
    "http_sf": ["penstock.rules.caching.targeted"],
    "httptools": ["penstock.wire.response_reader", "penstock.wire.server.request_reader", "penstock.testing"],
    "httpx": ["penstock.adapters.httpx"],
    "httpx2": ["penstock.adapters.httpx2"],
    "jmespath": ["penstock.answers.json_path", "penstock.outbound.vectors.answers"],
    "matplotlib": ["penstock.report.png"],
    # The commands only look whether it is there, to say which extra is missing.
    "numpy": ["penstock.outbound.vectors", "penstock.testing", "penstock.cli.check", "penstock.cli.demo"],
    # JSON is everywhere but in rules, which are pure.
    "orjson": [
        "penstock.adapters",
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
    # Loads the plugin itself, so whoever imports that has it.
    "pytest": ["penstock.migrate.pytest_plugin", "penstock.migrate.pytest_session"],
    "requests": ["penstock.adapters.requests"],
    "rich": ["penstock.cli.live", "penstock.cli.top_view"],
    "urllib3": ["penstock.adapters.requests"],
    "uvloop": ["penstock.adapters.bridge", "penstock.cli.loop", "penstock.testing"],
    "yarl": ["penstock.clients.aiohttp"],
    "zstandard": ["penstock.wire.content_coding"],
}
# Needed by every installation; all others are extras and are imported inside the function that needs them.
CORE = {"click", "http_sf", "httptools", "jmespath", "orjson", "rich", "uvloop"}
# Modules that import each other, if only for types.
CIRCLES = {
    # The process runs the server as `python -m penstock.testing.fault_server`.
    frozenset({"penstock.testing.fault_server", "penstock.testing.fault_server_process"}),
}
MOST_FUNCTION_LINES = 40
_SIGNATURE = "public, with a line for each setting; documentation is what it is"
_LIST = "a list: one line for each thing, and nothing is decided"
LONG_FUNCTIONS = {
    "penstock.adapters.http.Http.__init__": _SIGNATURE,
    "penstock.cli.options.flow_options": _LIST,
    "penstock.cli.top_reading.read_between": _LIST,
    "penstock.engine.run.run": _SIGNATURE,
    "penstock.inbound.proxy.snapshot.Watched.snapshot": _LIST,
    "penstock.outbound.pull_pages.pull": _SIGNATURE,
    "penstock.report.load._sample": _LIST,
    "penstock.report.state.run_state": _LIST,
    "penstock.stores.memory.MemoryStore.__init__": _LIST,
    "penstock.stores.stored_response.StoredResponse.__init__": _LIST,
}
# Modules that are nothing without their extra; nobody imports them before it is needed.
BEHIND_AN_EXTRA = (
    "penstock.adapters.aiohttp",
    "penstock.adapters.httpx",
    "penstock.adapters.httpx2",
    "penstock.adapters.requests",
    "penstock.clients.aiohttp",
    "penstock.migrate.pytest_plugin",
    "penstock.migrate.pytest_session",
    "penstock.outbound.vectors",
    "penstock.testing.vector_index",
)


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


def test_no_class_name_is_borne_twice() -> None:
    """A reader, a search and a traceback are not to guess which is meant."""
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module_name(path))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_no_modules_import_each_other() -> None:
    """Not even by way of others, and not for types alone; outside of the list, whose every line is needed."""
    wanted = {module_name(path): imports_within(path) for path in MODULES}
    reached = {module: reachable_from(module, wanted) for module in wanted}
    circles = {
        frozenset(other for other in others if module in reached[other])
        for module, others in reached.items()
        if module in others
    }
    assert sorted(map(sorted, circles - CIRCLES)) == []
    assert sorted(map(sorted, CIRCLES - circles)) == [], "these are open by now: take them off the list"


def test_functions_fit_on_a_screen() -> None:
    """Docstrings apart; outside of the list, whose every line is needed."""
    long = {name: lines for path in MODULES for name, lines in function_lines(path) if lines > MOST_FUNCTION_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) - set(long) == set(), "these are short by now: take them off the list"


def test_no_room_outgrows_the_house() -> None:
    """A room that holds a quarter of all is where what others need lies buried: the engine and the runs once did."""
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    house = sum(lines.values())
    rooms: Counter[str] = Counter()
    subjects: Counter[str] = Counter()
    for path, count in lines.items():
        room, *below = path.relative_to(PACKAGE).parts
        rooms[room] += count
        subjects[below[0] if room == "rules" else ""] += count
    del subjects[""]
    assert rooms["outbound"] <= MOST_IN_OUTBOUND
    shares = {room: count / house for room, count in rooms.items() if count / house > LARGEST_SHARE.get(room, 0.15)}
    assert shares == {}
    assert {subject: count for subject, count in subjects.items() if count / house > LARGEST_SUBJECT} == {}


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

    for name in penstock.__all__:
        # Those of the cache are imported when they are first asked for, whichever test that was.
        getattr(penstock, name)
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


def imports_within(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it, itself apart."""
    package = path.relative_to(PACKAGE.parent).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = list(package[: len(package) - node.level + 1]) if node.level else []
            source = ".".join([*parts, *([node.module] if node.module else [])])
            found |= {name if (name := f"{source}.{alias.name}") in MODULE_NAMES else source for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULE_NAMES - {module_name(path)}


def reachable_from(module: str, wanted: dict[str, set[str]]) -> set[str]:
    """The modules that come along when `module` is imported; itself among them if it is in a circle."""
    found, ahead = set[str](), [module]
    while ahead:
        new = wanted[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def function_lines(path: Path) -> Iterator[tuple[str, int]]:
    """The full name of each function in a file, and its lines without decorators and docstring."""
    ahead: list[tuple[str, ast.AST]] = [(module_name(path), ast.parse(path.read_text()))]
    while ahead:
        outer, node = ahead.pop()
        for inner in ast.iter_child_nodes(node):
            name = f"{outer}.{inner.name}" if isinstance(inner, (*FUNCTIONS, ast.ClassDef)) else outer
            ahead.append((name, inner))
            if isinstance(inner, FUNCTIONS):
                docstring = inner.body[0] if ast.get_docstring(inner) is not None else None
                yield name, lines_of(inner) - (0 if docstring is None else lines_of(docstring))


def lines_of(node: ast.stmt) -> int:
    """From its first line to its last, decorators apart."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_for_types(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def module_name(path: Path) -> str:
    """`penstock.cli.main`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MODULE_NAMES = {module_name(path) for path in MODULES}


def is_below(module: str, homes: list[str] | tuple[str, ...]) -> bool:
    """Whether the module is one of these, or in one of these packages."""
    return any(module == home or module.startswith(f"{home}.") for home in homes)

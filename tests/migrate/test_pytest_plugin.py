"""`pytest --penstock-arm`: real runs of pytest on suites that know nothing of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import penstock

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.real, pytest.mark.slow]
SHOP = """
import asyncio
import penstock

@penstock.arms("GET /price", max_in_flight=5)
def price():
    return {"price": 3}

@price.arm("async")
async def _():
    return {"price": 4}

@penstock.arms("GET /stock")
def stock():
    return 7

@penstock.arms("GET /idle")
def idle():
    return 0

def call(route):
    return asyncio.run(route())

def quietly(route):
    try:
        return call(route)
    except Exception:
        return None
"""
HEAD = """
import os, subprocess, sys, threading, unittest
import pytest
from shop import call, idle, price, quietly, stock
"""
SUITE = (
    HEAD
    + """
def test_price():
    assert call(price) == {"price": 3}

def test_stock():
    assert call(stock) == 7

def test_of_something_else():
    pass
"""
)


@pytest.fixture
def shop(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with an app; pytest loads the plugins that are named, and no others."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(penstock.__file__).parents[1]), str(pytester.path)]))
    monkeypatch.delenv("PENSTOCK_ARMS")
    # pytest-xdist's workers are of this run, not of that one.
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    pytester.makepyfile(shop=SHOP)
    return pytester


def run(shop: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    shop.makepyfile(test_shop=tests)
    return shop.runpytest_subprocess("-p", "penstock.migrate.pytest_plugin", *options)


def test_without_the_option_nothing_is_there(shop: pytest.Pytester) -> None:
    """Not even the rest of the plugin is imported; the state file decides, as ever."""
    tests = (
        SUITE
        + """
def test_nothing_is_different():
    assert "penstock.migrate.pytest_session" not in sys.modules
    assert not [name for name in os.environ if name.startswith("PENSTOCK")]
"""
    )
    done = run(shop, tests)
    done.assert_outcomes(passed=4)
    done.stdout.no_fnmatch_line("*penstock: *")
    assert done.ret == 0


def test_the_plugin_alone_imports_nothing_of_penstock(shop: pytest.Pytester) -> None:
    """It is loaded by every pytest of whoever has penstock."""
    listing = (
        "import sys, pytest; before = set(sys.modules); import penstock.migrate.pytest_plugin; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = shop.run(sys.executable, "-c", listing)
    assert done.outlines == ["['penstock', 'penstock.migrate', 'penstock.migrate.pytest_plugin']"]


def test_control(shop: pytest.Pytester) -> None:
    """Also where a state file gives all requests to another arm."""
    shop.path.joinpath("arms.json").write_text(
        '{"version": 1, "routes": {"GET /price": {"arm": "async", "share": 1.0, "since": 1.0}}}'
    )
    done = run(shop, SUITE, "--penstock-arm", "control")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines([
        "penstock: routes with arms serve control",
        "*= penstock: arm control =*",
        "2 of 3 tests called 2 of 3 routes with arms",
        "GET /idle: no test called it",
    ])  # fmt: skip
    done.stdout.no_fnmatch_line("*has no arm*")
    assert done.ret == 0


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["one process", "two workers"])
def test_a_wrong_answer_of_an_arm_is_found(shop: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """And which route has no such arm, whichever worker has tested it."""
    done = run(shop, SUITE, "--penstock-arm", "async", *workers)
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines([
        "2 of 3 tests called 2 of 3 routes with arms",
        "GET /idle: no test called it",
        "GET /stock has no arm async: tested with control",
        "FAILED test_shop.py::test_price *",
    ])  # fmt: skip
    assert done.ret == 1


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["one process", "two workers"])
def test_broken_and_all_notice(shop: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """Red is what is wanted: no traceback, and exit code 0."""
    done = run(shop, SUITE, "--penstock-arm", "broken", "-rx", *workers)
    done.assert_outcomes(passed=1, xfailed=2)
    done.stdout.fnmatch_lines([
        "GET /idle: no test called it",
        "2 of 2 tests noticed that a route was broken (-rx lists them)",
        "XFAIL test_shop.py::test_price - GET /price was broken",
    ])  # fmt: skip
    done.stdout.no_fnmatch_line("*Traceback*")
    assert done.ret == 0


# Tests that stay green with every route broken, and what is said of them.
BLIND = {
    "swallows it": ("""
def test_it():
    quietly(stock)
""", "test_shop.py::test_it never looks at the answer of GET /stock"),
    "in a thread": ("""
def test_it():
    thread = threading.Thread(target=quietly, args=[stock])
    thread.start()
    thread.join()
""", "test_shop.py::test_it never looks at the answer of GET /stock"),
    "in a child process": ("""
def test_it():
    subprocess.run([sys.executable, "-c", "import shop; shop.quietly(shop.stock)"], check=True)
""", "test_shop.py::test_it never looks at the answer of GET /stock"),
    "in a child that is forked": ("""
def test_it():
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=quietly, args=[stock])
    child.start()
    child.join()
""", "test_shop.py::test_it never looks at the answer of GET /stock"),
    "skips itself": ("""
def test_it():
    if quietly(stock) is None:
        pytest.skip("the shop is closed")
""", "test_shop.py::test_it never looks at the answer of GET /stock (it was skipped)"),
    "passes against its mark": ("""
@pytest.mark.xfail(strict=True)
def test_it():
    quietly(stock)
""", "test_shop.py::test_it never looks at the answer of GET /stock"),
    "a session fixture, of both who use it": ("""
@pytest.fixture(scope="session")
def data():
    return quietly(stock)

@pytest.fixture
def more(data):
    return data

def test_a(more): pass
def test_it(data): pass
def test_other(): pass
""", "test_shop.py::test_it never looks at the answer of GET /stock (called by the fixture data)"),
    "setUpClass": ("""
class TestShop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        quietly(stock)
    def test_it(self): pass
""", "test_shop.py::TestShop::test_it never looks at the answer of GET /stock (called by the fixture *setUpClass*)"),
    "in the teardown of a fixture": ("""
@pytest.fixture
def shop():
    yield
    quietly(stock)

def test_it(shop): pass
""", "test_shop.py::test_it never looks at the answer of GET /stock (called by its teardown)"),
}  # fmt: skip


@pytest.mark.parametrize(("tests", "line"), BLIND.values(), ids=BLIND)
def test_a_test_that_cannot_fail_is_found(shop: pytest.Pytester, tests: str, line: str) -> None:
    """By its id, with the route; and the run fails for it, although all is green."""
    done = run(shop, HEAD + tests, "--penstock-arm", "broken")
    done.stdout.fnmatch_lines([line])
    done.stdout.no_fnmatch_line("*test_other never*")
    assert done.ret == 1


# Tests that fail when their route does, wherever that is: none is listed.
SEES = {
    "in a fixture of the session": """
@pytest.fixture(scope="session")
def data():
    return call(stock)

def test_a(data): pass
def test_b(data): pass
""",
    "a fixture whose name is another's in the class": """
@pytest.fixture
def data():
    return quietly(stock)

class TestOther:
    @pytest.fixture
    def data(self):
        return 7
    def test_a(self, data):
        assert call(price)
def test_b(data):
    assert data == 7
""",
    "in the teardown": """
@pytest.fixture
def shop():
    yield
    assert call(stock)

def test_a(shop): pass
""",
    "what a child prints": """
def test_a():
    code = "import shop; print(shop.call(shop.stock))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout == "7\\n"
""",
}


@pytest.mark.parametrize("tests", SEES.values(), ids=SEES)
def test_a_test_that_notices_is_not_listed(shop: pytest.Pytester, tests: str) -> None:
    """In whatever phase it fails."""
    done = run(shop, HEAD + tests, "--penstock-arm", "broken")
    done.stdout.no_fnmatch_line("*never looks*")
    done.stdout.fnmatch_lines(["* tests noticed that a route was broken *"])
    assert done.ret == 0


def test_a_failure_without_a_route_stays_one(shop: pytest.Pytester) -> None:
    """It has nothing to do with what was broken."""
    done = run(shop, SUITE + "def test_no(): assert False\n", "--penstock-arm", "broken")
    done.assert_outcomes(passed=1, xfailed=2, failed=1)
    assert done.ret == 1


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (("--penstock-arm", "asnyc"), 4, "no route has an arm asnyc, *; there are async, control"),
        (("--penstock-arm", "broken", "-k", "else"), 1, "no test called a route that was broken*"),
        (("--penstock-arm", "broken", "-k", "nothing"), 5, "*3 deselected*"),
        (("--penstock-arm", "broken", "--collect-only"), 0, "*3 tests collected*"),
        (("--penstock-arm="), 4, "*--penstock-arm needs the name of an arm*"),
    ],
)  # fmt: skip
def test_the_exit_code(shop: pytest.Pytester, options: tuple[str, ...] | str, code: int, line: str) -> None:
    """Not 0 where nothing was tested that was asked for."""
    done = run(shop, SUITE, *([options] if isinstance(options, str) else options))
    (done.stderr if "needs" in line else done.stdout).fnmatch_lines([line])
    assert done.ret == code


def test_the_arm_is_the_processes_and_only_for_the_run(shop: pytest.Pytester) -> None:
    """Conftests, tests and children have it in their environment, and who called pytest has back what was."""
    shop.makeconftest("import os\nassert os.environ['PENSTOCK_ARM'] == 'async'\n")
    shop.makepyfile(
        test_shop=HEAD + "def test_it():\n    assert os.environ['PENSTOCK_ARM'] == 'async'\n",
        main="""
            import os, pytest
            os.environ["PENSTOCK_ARM"] = "mine"
            before = dict(os.environ)
            code = pytest.main(["-p", "penstock.migrate.pytest_plugin", "--penstock-arm", "async"])
            after = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK")}
            print("code", int(code), after)
        """,
    )
    done = shop.run(sys.executable, "main.py")
    done.stdout.fnmatch_lines(["*1 passed*", "code 0 {'PENSTOCK_ARM': 'mine'}"])

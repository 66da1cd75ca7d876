"""A test run with a forced arm, as pytest goes through it. With pytest-xdist, the workers tell their parent."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from ..rules.moving.state import BROKEN
from ..rules.moving.suite import RouteCall, Suite, SuiteTest, proves_nothing, summary
from .suite_calls import SuiteCalls
from .table import ROUTES

_CALLS = "penstock_calls"
"""Of the report of a teardown, the last of a test; and of what a worker says at its end."""


def begin(config: pytest.Config, arm: str) -> None:
    """Force the arm until the end of `config`, and say at the end what that showed."""
    if not arm.strip():
        raise pytest.UsageError("--penstock-arm needs the name of an arm: control, async, ..., or broken")
    calls = SuiteCalls()
    config.add_cleanup(calls.restore)
    calls.force(arm)
    config.pluginmanager.register(RunOfArm(arm, calls), "penstock-arm")
    config.pluginmanager.register(SuiteOfArm(arm, calls), "penstock-arm-suite")


class RunOfArm:
    """The side that runs tests: this process, or each worker."""

    def __init__(self, arm: str, calls: SuiteCalls) -> None:
        self._arm = arm
        self._calls = calls

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """As pytest has it."""
        self._calls.begin()
        try:
            return (yield)
        finally:
            self._calls.end()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """As pytest has it."""
        self._calls.enter("setup")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """As pytest has it."""
        self._calls.enter("call")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """As pytest has it."""
        self._calls.enter("teardown")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """As pytest has it."""
        with self._calls.within_fixture(fixturedef, _fixture_name(fixturedef.argname)):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, object]:
        """As pytest has it. A test that noticed that its route was broken is no failure."""
        report = yield
        calls = self._calls.of_test(_fixtures_of(item))
        if call.when == "teardown":
            setattr(report, _CALLS, [list(each) for each in calls])
        if self._arm == BROKEN and calls and report.failed and not _passed_against_its_mark(report):
            report.outcome = "skipped"
            report.wasxfail = f"{', '.join(sorted({each.route for each in calls}))} was broken"
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """As pytest has it; `workeroutput` is that of pytest-xdist."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_CALLS] = {"routes": _routes(), "outside": [list(each) for each in self._calls.outside]}


class SuiteOfArm:
    """The side that hears of all tests: this process, or the parent of the workers."""

    def __init__(self, arm: str, calls: SuiteCalls) -> None:
        self._suite = Suite(arm)
        self._calls = calls

    def pytest_report_header(self) -> str:
        """As pytest has it."""
        if self._suite.arm == BROKEN:
            return "penstock: every route with arms is broken on purpose"
        return f"penstock: routes with arms serve {self._suite.arm}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """As pytest has it."""
        if report.when == "setup":
            # Also the second time, where a plugin lets it run again.
            self._suite.tests[report.nodeid] = SuiteTest()
        test = self._suite.tests.setdefault(report.nodeid, SuiteTest())
        expected = hasattr(report, "wasxfail")
        test.red |= (report.failed and not _passed_against_its_mark(report)) or (report.skipped and expected)
        test.skipped |= report.skipped and not expected
        if hasattr(report, _CALLS):
            test.calls = tuple(RouteCall(*each) for each in getattr(report, _CALLS))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """As pytest-xdist has it: a worker has ended."""
        told = getattr(node, "workeroutput", {}).get(_CALLS)
        if told is not None:
            self._suite.knows(told["routes"])
            self._suite.outside.update((route, arm) for route, arm in told["outside"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """As pytest has it."""
        self._suite.knows(_routes())
        self._suite.outside |= self._calls.outside
        if session.exitstatus == pytest.ExitCode.OK and self._suite.tests and proves_nothing(self._suite):
            misnamed = self._suite.is_misnamed
            session.exitstatus = pytest.ExitCode.USAGE_ERROR if misnamed else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """As pytest has it."""
        if self._suite.tests:
            terminalreporter.section(f"penstock: arm {self._suite.arm}")
            for line in summary(self._suite):
                terminalreporter.line(line)


def _routes() -> dict[str, list[str]]:
    return {name: list(route.arm_names) for name, route in ROUTES.items()}


def _passed_against_its_mark(report: pytest.TestReport) -> bool:
    """Whether it fails for the one reason that it was to, by its mark, and did not: it noticed nothing."""
    return isinstance(report.longrepr, str) and report.longrepr.startswith("[XPASS(strict)]")


def _fixture_name(name: str) -> str:
    # Setups of classes and modules are fixtures with long names: _unittest_setUpClass_fixture_ShopTest.
    return f"the fixture {name}"


def _fixtures_of(item: pytest.Item) -> Iterator[Any]:
    """Those that the test uses, by whatever name; of several with one name, those that are really asked for."""
    known: dict[str, Any] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for name, definitions in known.items():
        for definition in reversed(definitions):
            yield definition
            if name not in definition.argnames:
                break

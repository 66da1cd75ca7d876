"""Settings once: an option fills the field of its name, and every field reaches the engine, or whoever it is for."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, cast

import click
import pytest

import penstock
from penstock import RetryOn, parse_limit
from penstock.answers.options import AnswerOptions
from penstock.cli.check import check
from penstock.cli.environment import Environment
from penstock.cli.options import take_flow
from penstock.cli.pull import pull
from penstock.cli.send import send
from penstock.engine.settings import EngineSettings
from penstock.outbound.paging.pages import Offset
from penstock.runs.flow import Flow
from penstock.runs.run_folder import RunFolder
from penstock.runs.session import Session
from penstock.runs.session_limits import SessionLimits
from penstock.testing import ScriptedCall

PACKAGE = Path(penstock.__file__).parent
GIVEN: dict[str, tuple[str, Any]] = {
    "limits": ("--limit=7/s", (parse_limit("7/s"),)),
    "limit_auto": ("--limit=auto", True),
    "limit_headers": ("--limit-headers=ignore", "ignore"),
    "limit_by": ("--limit-by=tenant", "tenant"),
    "cost_limits": ("--cost-limit=90/min", (parse_limit("90/min"),)),
    "cost": ("--cost=3", "3"),
    "cost_actual": ("--cost-actual=usage", "usage"),
    "in_flight": ("--in-flight=7", 7),
    "attempt_timeout": ("--attempt-timeout=11s", 11.0),
    "total_timeout": ("--total-timeout=12s", 12.0),
    "connect_timeout": ("--connect-timeout=13s", 13.0),
    "max_attempts": ("--attempts=14", 14),
    "max_outage": ("--max-outage=15s", 15.0),
    "retry_budget": ("--retry-budget=16%", 0.16),
    "retry_on": ("--retry-on=none", RetryOn.NONE),
    "hedge": ("--hedge=p75", 0.75),
    "deadline_header": ("--deadline-header=X-Left", "X-Left"),
    "guard": ("--guard=17ms", 0.017),
    "max_response_bytes": ("--max-response=18kB", 18_000),
    "follow_redirects": ("--follow-redirects=3", 3),
    "ca_file": ("--ca-file=ca.pem", Path("ca.pem")),
    "keep_alive": ("--no-keep-alive", False),
    "proxy": ("--proxy=http://p:1", "http://p:1"),
    "stop_after_denied": ("--stop-after-denied=21", 21),
    "stop_after_failures": ("--stop-after-failures=22", 22),
    "forget_pause": ("--forget-pause", True),
    "throttle_when": ("--throttle-when=418", ("418",)),
    "retry_when": ("--retry-when=error.again", ("error.again",)),
    "ok_when": ("--ok-when=4xx", ("4xx",)),
    "poll_until": ("--poll-until=done", "done"),
}
"""Every field of Flow that a person sets: how, and what it is then."""

NOT_AN_OPTION = {
    "command",  # what was typed
    "max_results",  # the commands take outcomes as fast as the disk does
    "max_result_bytes",  # the same
}
NOT_OF = {"send": set[str](), "pull": {"limit_by"}, "check": {"limit_by", "follow_redirects"}}
FLOW = {field.name: field for field in fields(Flow)}
SETTINGS = {field.name: field for field in fields(EngineSettings)}
OF_ANSWERS = {field.name for field in fields(AnswerOptions)}
OTHER: dict[str, Any] = {
    "in_flight": 7,
    "attempt_timeout": 11.0,
    "total_timeout": 12.0,
    "max_attempts": 14,
    "max_outage": 15.0,
    "retry_budget": 0.16,
    "hedge": 0.75,
    "stop_after_denied": 21,
    "stop_after_failures": 22,
    "max_results": 17,
    "max_result_bytes": 18,
    "throttle_when": (418,),
    "retry_when": ("error.again",),
    "ok_when": ("4xx",),
    "poll_until": "done",
}
"""Every setting of the engine, each unlike its default."""


def flow_of(command: click.Command, *arguments: str) -> Flow:
    """What a command makes of its options."""
    needed = {"send": ["in", "--url=http://a/", "--out=o"], "pull": ["http://a/", "--out=o"]}
    first = needed.get(str(command.name), ["in", "--url=http://a/", "--out=o"])
    with command.make_context(str(command.name), [*first, *arguments]) as context:
        return take_flow(dict(context.params), Environment({}))


def test_every_field_has_an_option_or_a_reason_to_have_none() -> None:
    """Whoever adds a field to Flow or to the settings of the engine says here how it is given."""
    assert FLOW.keys() == GIVEN.keys() | NOT_AN_OPTION


@pytest.mark.parametrize("command", [send, pull, check], ids=lambda command: command.name)
@pytest.mark.parametrize("name", GIVEN)
def test_an_option_fills_the_field_of_its_name(command: click.Command, name: str) -> None:
    """And no other, whichever command it is."""
    if name in NOT_OF[str(command.name)]:
        return
    typed, value = GIVEN[name]
    usual, given = flow_of(command), flow_of(command, typed)
    assert getattr(given, name) == value != getattr(usual, name)
    assert {each for each in FLOW if getattr(given, each) != getattr(usual, each)} == {name}


@pytest.mark.parametrize("command", [send, pull, check], ids=lambda command: command.name)
def test_an_option_has_the_default_of_its_field(command: click.Command) -> None:
    """What the command does where nothing is said, a program does that makes a Flow; but for `retry_on`."""
    assert {each for each in FLOW if getattr(flow_of(command), each) != getattr(Flow(), each)} <= {"retry_on"}


def test_every_setting_is_here_with_another_value() -> None:
    """Whoever adds a setting says here what else it can be."""
    assert OTHER.keys() == SETTINGS.keys()
    assert all(OTHER[name] != field.default for name, field in SETTINGS.items())


def test_a_session_hands_its_flow_to_the_engine_whole(tmp_path: Path) -> None:
    """Nothing that a field says can be lost on the way."""
    flow = Flow(**OTHER)
    with RunFolder.open(tmp_path / "run") as folder:
        session = Session(flow, folder, total=None, idempotent=True)
        state = session._state(SessionLimits(penstock.RateLimiter()))
    assert state.settings is flow


@pytest.mark.parametrize("name", OTHER)
def test_an_argument_of_run_is_a_setting_of_the_engine(name: str) -> None:
    """By the same name but for one, and with the same default."""
    parameter = {"in_flight": "max_in_flight"}.get(name, name)
    assert inspect.signature(penstock.run).parameters[parameter].default == SETTINGS[name].default != MISSING
    engine = penstock.run(ScriptedCall([]), [], retry_on="none", **{parameter: OTHER[name]})
    assert getattr(engine._state.settings, name) == OTHER[name]


@pytest.mark.parametrize(
    "name", ["in_flight", "attempt_timeout", "total_timeout", "max_attempts", "max_outage", *sorted(OF_ANSWERS)]
)
def test_an_argument_of_pull_is_a_setting_of_the_engine(name: str) -> None:
    """Those that it has."""
    parameter = {"in_flight": "max_in_flight"}.get(name, name)
    assert inspect.signature(penstock.pull).parameters[parameter].default == SETTINGS[name].default
    pages = penstock.pull("http://a/", paginate=Offset(), **cast("Any", {parameter: OTHER[name]}))
    assert getattr(pages._state.settings, name) == OTHER[name]


def read_in(folder: str, of: tuple[str, ...] = ("flow", "settings")) -> set[str]:
    """Names of attributes that are read in a folder of the package."""
    return {
        node.attr
        for path in (PACKAGE / folder).rglob("*.py")
        if path.name not in ("settings.py", "flow.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        # Of an object that is called so: other things have attributes of these names, too.
        and ast.unparse(node.value).rpartition(".")[2] in of
    }


def test_every_setting_is_read_by_the_engine_and_every_other_field_by_somebody() -> None:
    """A field that nobody reads is an option without an effect."""
    assert SETTINGS.keys() - OF_ANSWERS <= read_in("engine")
    assert read_in("answers", of=("options",)) >= OF_ANSWERS
    assert FLOW.keys() - SETTINGS.keys() <= read_in("runs") | read_in("outbound")

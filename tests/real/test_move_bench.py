"""`penstock move bench` of FastAPI under a real server: which arms there are, routes that are not there, threads."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.main import penstock as group
from penstock.errors import UsageError
from penstock.migrate.bench import stage as stage_module
from penstock.migrate.bench.cores import place
from penstock.migrate.bench.requests_file import RequestLine
from penstock.migrate.bench.servers import UVICORN
from penstock.migrate.bench.stage import BenchStage
from penstock.rules.moving.bottleneck import StopsAt

pytestmark = [
    pytest.mark.service,
    pytest.mark.real,
    pytest.mark.skipif(
        importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None,
        reason="fastapi or uvicorn is not installed: pip install --group frameworks",
    ),
]
APP = """
import asyncio, contextlib, time
import anyio.to_thread
from fastapi import FastAPI
import penstock

@contextlib.asynccontextmanager
async def lifespan(app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = 5
    yield

app = FastAPI(lifespan=lifespan)

@app.get("/wait")
@penstock.arms("GET /wait", max_in_flight=10_000)
def wait():
    time.sleep(0.05)
    return {"n": 1}

@wait.arm("async")
async def _():
    await asyncio.sleep(0.05)
    return {"n": 1}

def make():
    return app
"""


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


def bench(*arguments: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    usual = ["--p99", "300ms", "--max-time", "5s", "--server", UVICORN]
    ended = CliRunner().invoke(group, ["move", "bench", *arguments, *usual], standalone_mode=False)
    if isinstance(ended.exception, UsageError):
        return 2, str(ended.exception)
    if ended.exception is not None:
        raise ended.exception
    code: int = ended.return_value
    return code, ended.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("service:app", "GET /waits", "control", "async"),
            "'GET /waits' has no arms; penstock.arms knows of: GET /wait",
        ),
        (
            ("service:app", "GET /wait", "control", "client"),
            "there is nothing to compare: 'GET /wait' has no arm 'client'; it has beside the control: async",
        ),
        (
            ("service:app", "GET /wait", "control", "async", "--requests", "urls.jsonl"),
            "errors in the control: 20 of 20 (20 x HTTP 404)",
        ),
    ],
)
def test_what_is_not_there(arguments: tuple[str, ...], words: str) -> None:
    Path("urls.jsonl").write_text('{"path": "/other"}\n')
    code, said = bench(*arguments)
    assert code == 2
    assert words in said


@pytest.mark.parametrize("name", ["app", "make", "make()"])
def test_arms_of_an_app_are_measured_and_others_are_named(name: str) -> None:
    """Whether anything can be said after five seconds is another question."""
    code, said = bench(f"service:{name}", "GET /wait", "control", "client", "async", "--json", "--quiet")
    made = json.loads(said)
    assert code == made["exit_code"]
    assert made["arms"]["client"] == {"measured": False}
    assert made["arms"]["control"]["alone_s"] > 0.05
    assert made["arms"]["async"]["alone_s"] > 0.05
    assert not any("taken on trust" in line for line in made["head"])


@pytest.mark.parametrize("arm", ["control", "async"])
def test_the_thread_pool_of_a_framework_is_named(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control stops at it, the async arm does not."""
    monkeypatch.setattr(stage_module, "MOST_NEIGHBOURS", 10.0)
    command = [sys.executable, "-m", *UVICORN.replace("{app}", "service:app").split()]
    stage = BenchStage(
        command, [arm], [RequestLine("GET", "/wait")], workers=1, target=0.2, placing=place(1), environment=os.environ
    )
    with stage:
        stage.alone(arm, 2)
        found = stage.limit(arm, 200, 1.0)
    if arm == "control":
        assert found.stop is StopsAt.THREADS
        assert "all of its 5 threads are taken" in found.why
    else:
        assert found.stop is not StopsAt.THREADS

"""Whatever a user can meet is in the docs: every option, error, kind, verdict, public name and field."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import orjson
import pytest

import penstock
import penstock.testing
from penstock import errors
from penstock.cli.main import penstock as group
from penstock.outbound.vectors.detect import FORMATS
from penstock.outbound.vectors.presets import PRESETS
from penstock.rules.census.finding import Finding
from penstock.rules.census.score_map import SCORE_MAPS
from penstock.rules.retries.verdict import KINDS, RetryOn
from penstock.testing import write_vectors

from .pages import PAGES, ROOT

REFERENCE = ROOT / "docs" / "reference"
README = (ROOT / "README.md").read_text()


def reference(name: str) -> str:
    """One page of the reference."""
    return (REFERENCE / f"{name}.md").read_text()


@pytest.mark.parametrize("name", group.commands)
def test_every_option_is_in_the_reference(name: str) -> None:
    """With its own line, below its command."""
    part = reference("cli").partition(f"\n## `penstock {name}`\n")[2].partition("\n## ")[0]
    options = [option for each in group.commands[name].params for option in each.opts if option.startswith("--")]
    assert part
    assert not [option for option in options if not re.search(rf"^- `{option}\b", part, re.MULTILINE)]


@pytest.mark.parametrize("name", ["send", "pull", "check", "report"])
def test_every_command_has_a_how_to(name: str) -> None:
    """And the README leads to it."""
    assert (ROOT / "docs" / "howto" / f"{name}.md").exists()
    assert f"docs/howto/{name}.md" in README


def test_help_keeps_its_lines() -> None:
    """Click folds lists into a paragraph unless told not to, and its mark must not be printed."""
    for command in (group, *group.commands.values()):
        text = command.get_help(click.Context(command))
        assert "\\b" not in text
        assert "\b" not in text
    assert re.search(r"^ +3  stopped before the end", group.get_help(click.Context(group)), re.MULTILINE)


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    """`make format` writes it; `make lint` checks it too."""
    maker = load(ROOT / "scripts" / "make_reference.py")
    assert not [path.name for path, text in maker.pages().items() if path.read_text() != text]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("outcome", [*KINDS, *(finding.name for finding in Finding), *(level.value for level in RetryOn)]),
        ("cli", [*PRESETS, *SCORE_MAPS]),
    ],
)
def test_every_value_is_in_the_reference(page: str, names: list[str]) -> None:
    """Kinds, verdicts, levels, presets and score maps."""
    text = reference(page)
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_format_is_in_the_how_to() -> None:
    """By the name of its extension or in words."""
    text = (ROOT / "docs" / "howto" / "check.md").read_text().lower()
    assert not [name for name in FORMATS if name not in text]


def test_every_error_is_in_the_reference_and_in_the_tree() -> None:
    """The tree at the top of errors.py, which the reference shows, has every class where it belongs."""
    drawn = dict(tree(errors.__doc__ or ""))
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.PenstockError)
    }
    assert drawn == {
        name: "" if value is errors.PenstockError else value.__bases__[0].__name__ for name, value in classes.items()
    }
    text = reference("python")
    assert not [name for name in classes if f"### `{name}`" not in text]


def tree(text: str) -> Iterator[tuple[str, str]]:
    """(class, its parent) for every line of a drawn tree."""
    above: list[str] = []
    for line in text.splitlines():
        match = re.match(r"^ {4}([│ ├└─]*)([A-Z]\w+)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        yield match[2], above[depth - 1] if depth else ""


@pytest.mark.parametrize(("page", "module"), [("python", penstock), ("testing", penstock.testing)])
def test_every_public_name_is_in_the_reference(page: str, module: ModuleType) -> None:
    """As a heading, so that it can be linked to."""
    text = reference(page)
    assert not [name for name in module.__all__ if not re.search(rf"^###? `{name}`$", text, re.MULTILINE)]


# -- fields, as real runs make them -----------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_every_field_of_a_send_is_in_the_reference(tmp_path: Path) -> None:
    """Of records, of the summary, of the time series, and every file of the run folder."""
    (tmp_path / "in.jsonl").write_text("\n".join(f'{{"number": {number}}}' for number in range(50)))
    with serving(tmp_path, "--lasting", "400=0.2") as url:
        summary = penstock_json(tmp_path, "send", "in.jsonl", "--url", url, "--out", "out.jsonl", "--limit", "1000/s")
    records = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert len(records) == 50
    assert {record["ok"] for record in records} == {True, False}
    text = reference("outcome")
    documented(text, summary)
    documented(text, *records)
    folder_documented(tmp_path / "out.jsonl.run")


@pytest.mark.real
@pytest.mark.slow
def test_every_field_of_a_check_is_in_the_reference(tmp_path: Path) -> None:
    """Of findings, of the summary, and every file of the run folder."""
    write_vectors(tmp_path / "vectors.bin", 300, 16, seed=5)
    (tmp_path / "plant.json").write_text('{"5": "deleted", "7": "rank_missed", "100": "too_high"}')
    oracle = ["--oracle", "vectors.bin", "--dim", "16", "--plant", "plant.json", "--shape", "qdrant"]
    with serving(tmp_path, *oracle, "--lasting", "400=0.02") as url:
        request = ["--url", url, "--preset", "qdrant", "--collection", "c", "--limit", "1000/s", "--duplicates"]
        summary = penstock_json(tmp_path, "check", "vectors.bin", "--dim", "16", "--out", "census", *request)
    findings = [orjson.loads(line) for line in (tmp_path / "census" / "findings.jsonl").read_bytes().splitlines()]
    assert len(findings) > 3
    text = reference("outcome")
    assert {"second_look", "duplicates", "control"} <= summary.keys()
    documented(text, summary)
    documented(text, *findings)
    folder_documented(tmp_path / "census")


@pytest.mark.real
@pytest.mark.slow
def test_every_field_of_a_pull_is_in_the_reference(tmp_path: Path) -> None:
    """Of the summary, and every file of the run folder, with a page that fails and a total that promises too much."""
    api = ["--rows", "200", "--page-size", "20", "--claimed-total", "260", "--lasting", "500=0.3", "--seed", "2"]
    options = ["--out", "rows.csv", "--paginate", "offset", "--page-size", "20", "--total", "total", "--key", "id"]
    with serving(tmp_path, *api, module="paged_server") as url:
        summary = penstock_json(tmp_path, "pull", f"{url}/rows", *options, "--attempts", "1", "--limit", "1000/s")
    assert summary["failed_pages"]
    assert summary["warnings"]
    documented(reference("outcome"), {**summary, "table": None})
    folder_documented(tmp_path / "rows.csv.run")


@contextlib.contextmanager
def serving(folder: Path, *options: str, module: str = "fault_server") -> Iterator[str]:
    """A server of penstock.testing as a process; yields its URL."""
    port_file = folder / "port"
    command = [sys.executable, "-m", f"penstock.testing.{module}", "--port-file", str(port_file), *options]
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 30
            while not port_file.exists() and server.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{int(port_file.read_text())}"
        finally:
            server.terminate()


def penstock_json(folder: Path, *arguments: str) -> Any:
    """The summary of one command that ends with some failures."""
    start = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
    done = subprocess.run(
        [*start, *arguments, "--json"], cwd=folder, env=environment(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr.decode()
    return orjson.loads(done.stdout)


def environment() -> dict[str, str]:
    """For a child that runs the same penstock."""
    return {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)}


FREE = {"by_kind", "verdicts", "value"}
"""Fields whose own names are not ours, or are kinds and verdicts, which have a test above."""


def documented(text: str, *things: Any) -> None:
    """Whether every name in these JSON objects stands in the page as code."""
    missing = {name for thing in things for name in names_in(thing) if not re.search(rf"[`\"{{ ]{name}[`\"]", text)}
    assert not missing


def names_in(thing: Any) -> Iterator[str]:
    """All names of an object and of the objects inside it."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            yield name
            if name not in FREE:
                yield from names_in(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from names_in(value)


def folder_documented(folder: Path) -> None:
    """Whether every file of the run folder has its line."""
    text = reference("run_folder")
    for file in folder.iterdir():
        name = "limit-COUNT-SECONDS.log" if file.name.startswith("limit-") else file.name
        assert f"| `{name}` |" in text, name
    samples = [orjson.loads(line) for line in (folder / "series.jsonl").read_bytes().splitlines()]
    part = text.partition("\n## The samples\n")[2].partition("\n## ")[0]
    assert {name for sample in samples for name in sample} <= set(re.findall(r"`(\w+)`", part))


# -- the README and links ---------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_something_to_run() -> None:
    """The first command by line 30, the whole below 150."""
    lines = README.splitlines()
    assert len(lines) < 150
    assert "make demo" in lines[:30]
    assert any(line.startswith("penstock send ") for line in lines[:40])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings; nothing names a machine's own paths."""
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        file = page if not path else (page.parent / path)
        assert file.exists(), target
        if heading:
            assert heading in {anchor(line) for line in file.read_text().splitlines() if line.startswith("#")}, target
    assert not re.search(r"/(home|root|Users|work)/", text)


def anchor(line: str) -> str:
    """The anchor of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")


def load(path: Path) -> Any:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

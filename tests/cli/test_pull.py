"""`penstock pull` as a user meets it: real sockets, exit codes, what is said."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import penstock
from penstock.cli.main import run_command
from penstock.testing import PagedApi

pytestmark = pytest.mark.real


@contextlib.contextmanager
def served(*options: str) -> Iterator[str]:
    """A paged API of 500 rows as a process of its own; yields its URL."""
    command = [sys.executable, "-m", "penstock.testing.paged_server", "--rows", "500", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().split()[-1] + "/rows"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def offset_url() -> Iterator[str]:
    with served("--style", "offset") as url:
        yield url


@pytest.fixture(scope="module")
def link_url() -> Iterator[str]:
    with served("--style", "link") as url:
        yield url


def numbers(out: Path) -> list[int]:
    """The rows of an output, sorted, each compared with what the API has."""
    dataset = PagedApi(rows=500).dataset
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert all(row == orjson.loads(orjson.dumps(dataset[row["id"]])) for row in rows)
    return sorted(row["id"] for row in rows)


def test_pull_shows_rows_against_promise(offset_url: str, tmp_path: Path, capsys: Any) -> None:
    """In the text, and as JSON."""
    out = tmp_path / "out.jsonl"
    arguments = ["pull", offset_url, "--out", str(out), "--paginate", "offset", "--total", "total", "--page-size", "50"]
    assert run_command(arguments) == 0
    assert "finished: 500 rows of 500 promised, in 11 pages" in capsys.readouterr().err
    assert run_command(arguments) == 0
    assert "was finished already: nothing was asked; --fresh pulls it again" in capsys.readouterr().err
    assert run_command([*arguments, "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    summary = orjson.loads(printed.out)
    assert not printed.err
    assert summary["already_complete"]
    assert (summary["rows"], summary["rows_promised"], summary["duplicates"], summary["short"]) == (500, 500, 0, False)
    assert numbers(out) == list(range(500))


def test_pull_finds_out_how_an_api_pages(link_url: str, tmp_path: Path, capsys: Any) -> None:
    """And says the command that is."""
    out = tmp_path / "out.jsonl"
    assert run_command(["pull", link_url, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "a Link header with rel=next" in said
    assert f"penstock pull {link_url} --out {out} --paginate link --rows items --total total" in said
    assert numbers(out) == list(range(500))


def test_pull_refuses_what_it_cannot_tell(tmp_path: Path, capsys: Any) -> None:
    """Exit code 2, what was seen and tried, a command that may be meant, on a line to be copied; nothing is left."""
    out = tmp_path / "out.jsonl"
    with served("--ignores-page", "--no-total", "--page-size", "50") as url:
        assert run_command(["pull", url, "--out", str(out)]) == 2
        said, suggested = capsys.readouterr().err.splitlines()
        assert "cannot tell how this API pages" in said
        assert "tried offset=50&limit=50: the same rows; page=2: the same rows" in said
        assert list(tmp_path.iterdir()) == []
        options = "--paginate cursor --cursor-param NAME --rows items --next 'items[-1].id'"
        assert suggested == f"penstock pull {url} --out {out} {options}"


def test_pull_proves_what_one_answer_does_not_tell(offset_url: str, tmp_path: Path, capsys: Any) -> None:
    """Nothing but the URL: it says what was tried, and the command that it stands for."""
    out = tmp_path / "out.jsonl"
    assert run_command(["pull", offset_url, "--out", str(out)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "it takes offset, tried offset=100&limit=100: other rows" in said[0]
    assert said[1].endswith("--paginate offset --offset-param offset --rows items --total total")
    assert numbers(out) == list(range(500))


@pytest.mark.parametrize(
    ("rows", "part"),
    [("nothere", "no rows at --rows 'nothere'; there is a list at 'items'; the"), ("a[", "--rows is not a JMESPath")],
)
def test_wrong_rows_are_said_where_the_rest_is_to_be_found_out(
    offset_url: str, tmp_path: Path, capsys: Any, rows: str, part: str
) -> None:
    """It said that rows were found there, none of them."""
    assert run_command(["pull", offset_url, "--out", str(tmp_path / "out.jsonl"), "--rows", rows]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert part in said


def test_the_command_that_was_found_goes_on_with_the_run(link_url: str, tmp_path: Path, capsys: Any) -> None:
    """It says that it is the same, so it must not be refused as another run; nor must the first one be."""
    out = tmp_path / "out.jsonl"
    given = ["pull", link_url, "--out", str(out), "--page-size", "50", "--size-param", "limit"]
    assert run_command([*given, "--max-pages", "2"]) == 0
    said = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("penstock pull"))
    assert said.count("--page-size 50") == 1
    command = said.removeprefix("penstock ").replace(" --max-pages 2", "")
    assert run_command([*shlex.split(command), "--max-pages", "4", "--quiet"]) == 0
    assert run_command([*given, "--quiet"]) == 0
    assert numbers(out) == list(range(500))
    assert run_command([*given, "--rows", "other"]) == 2


def test_pull_into_a_database(link_url: str, tmp_path: Path, capsys: Any) -> None:
    """A table, typed by what was seen."""
    out = tmp_path / "out.sqlite"
    assert run_command(["pull", link_url, "--out", str(out), "--paginate", "link", "--key", "id"]) == 0
    with contextlib.closing(sqlite3.connect(out)) as base:
        assert base.execute("SELECT count(*), sum(id), typeof(id) FROM rows").fetchone() == (
            500,
            sum(range(500)),
            "integer",
        )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--paginate", "offset", "--next", "x"], "--next only goes with"),
        (["--paginate", "cursor", "--stop-on", "short"], "--stop-on short only goes with"),
        (["--stop-on", "gone"], "--stop-on 'gone' is none of empty, short and a status such as 404"),
        (["--paginate", "offset", "--rows", "a["], "--rows is not a JMESPath expression"),
        (["--paginate", "page", "--start", "x"], "--start must be a number"),
        (["--paginate", "offset", "--rows", "nothing"], "no rows at --rows 'nothing'; there is a list at 'items'"),
        (["--paginate", "page", "--page-param", "wrong"], "ignore the parameter 'wrong'"),
    ],
)
def test_a_pull_that_cannot_begin(
    offset_url: str, tmp_path: Path, capsys: Any, arguments: list[str], part: str
) -> None:
    """Exit code 2, one line that names the option, and the next try is not in its way."""
    out = tmp_path / "out.jsonl"
    assert run_command(["pull", offset_url, "--out", str(out), *arguments]) == 2
    said = capsys.readouterr().err
    assert part in said
    assert len(said.splitlines()) == 1
    assert run_command(["pull", offset_url, "--out", str(out), "--paginate", "offset", "--quiet"]) == 0


def test_fewer_rows_than_promised_are_exit_code_1(tmp_path: Path, capsys: Any) -> None:
    """It is finished, but somebody should look."""
    out = tmp_path / "out.jsonl"
    with served("--style", "cursor", "--claimed-total", "900") as url:
        code = run_command(
            ["pull", url, "--out", str(out), "--paginate", "cursor", "--next", "next", "--total", "total"]
        )
    assert code == 1
    said = capsys.readouterr().err
    assert "careful   the API promised 900 rows and gave 500" in said
    assert "--fresh pulls all of it again" in said
    assert numbers(out) == list(range(500))


def test_a_page_that_fails_is_exit_code_1_and_asked_for_again(tmp_path: Path, capsys: Any) -> None:
    """The summary names it; a wrong page stops the pull with exit code 3."""
    out = tmp_path / "out.jsonl"
    with served("--style", "offset", "--malformed", "3=no_rows") as url:
        code = run_command(["pull", url, "--out", str(out), "--paginate", "offset", "--rows", "items"])
    said = capsys.readouterr().err
    assert code == 3
    assert "page 4: there are no rows at --rows 'items'" in said
    assert "the same command goes on from there" in said
    assert set(numbers(out)) < set(range(500))


def test_a_host_that_cannot_be_reached_raises_from_python() -> None:
    """It waited for six hours, silently, for a host to come back that was never there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/rows"

    async def main() -> None:
        async with penstock.pull(url, paginate=penstock.Offset(), max_outage=1.0):
            pass

    with pytest.raises(penstock.UsageError, match="cannot reach the host"):
        asyncio.run(main())

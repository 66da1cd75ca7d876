"""The commands as a user meets them: exit codes, one clear line for bad input, records and summaries."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.cli.main import run_command

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The fault server as a process of its own; it echoes every body."""
    process = subprocess.Popen([sys.executable, "-m", "penstock.testing.fault_server"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": n, "name": f"n {n}/?"}) + b"\n" for n in range(300)))
    return path


def _records(out: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


def test_send_writes_one_record_per_item(url: str, jsonl: Path, tmp_path: Path, capsys: Any) -> None:
    """Exit code 0, every position once, the answer as the value, and a summary of it all on standard output."""
    out = tmp_path / "out.jsonl"
    code = run_command(["send", str(jsonl), "--url", url, "--out", str(out), "--limit", "2000/s", "--json"])
    summary = orjson.loads(capsys.readouterr().out)
    records = _records(out)
    assert code == 0
    assert sorted(record["key"] for record in records) == list(range(300))
    assert all(record["value"]["id"] == record["key"] for record in records)
    assert {"waited_ms", "service_ms", "attempts", "status", "ok"} <= records[0].keys()
    assert (summary["items"], summary["ok"], summary["failed"], summary["complete"]) == (300, 300, 0, True)
    assert summary["limits"][0]["limit"] == "2000/s"
    assert summary["attempts"] == 300
    assert summary["peak_rss_bytes"] > 1_000_000
    assert set(summary["service_ms"]) == {"p50", "p95", "p99", "max"}


def test_the_same_command_again_does_nothing(url: str, jsonl: Path, tmp_path: Path, capsys: Any) -> None:
    """A finished run stays as it is, byte for byte."""
    out = tmp_path / "out.jsonl"
    command = ["send", str(jsonl), "--url", url, "--out", str(out), "--json"]
    assert run_command(command) == 0
    before = out.read_bytes()
    capsys.readouterr()
    assert run_command(command) == 0
    assert orjson.loads(capsys.readouterr().out)["resumed"] == 300
    assert out.read_bytes() == before


def test_placeholders_key_extract_and_expect(url: str, jsonl: Path, tmp_path: Path) -> None:
    """The body is made of fields with their types, the record is named by its key, the value is extracted."""
    out = tmp_path / "out.jsonl"
    arguments = ["--body", '{"q": "{name}", "n": "{id}", "t": "no {id}"}', "--key", "name"]
    arguments += ["--extract", "[q, n, t]", "--expect", "n < `299`", "--quiet"]
    assert run_command(["send", str(jsonl), "--url", f"{url}/x/{{id}}", "--out", str(out), *arguments]) == 1
    records = {record["key"]: record for record in _records(out)}
    assert records["n 7/?"]["value"] == ["n 7/?", 7, "no 7"]
    assert records["n 299/?"]["error"]["kind"] == "unexpected"
    assert sum(not record["ok"] for record in records.values()) == 1


def test_csv_and_text_answers(url: str, tmp_path: Path) -> None:
    """CSV fields may hold line breaks; another content type makes the body a text."""
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    text = io.StringIO()
    csv.writer(text).writerows([["id", "text"], ["1", "a\nb"], ["2", "c"]])
    source.write_text(text.getvalue())
    arguments = ["--body", "v={text}", "--header", "Content-Type: text/plain", "--answer", "text", "--key", "id"]
    assert run_command(["send", str(source), "--url", url, "--out", str(out), *arguments, "--quiet"]) == 0
    assert {record["key"]: record["value"] for record in _records(out)} == {"1": "v=a\nb", "2": "v=c"}


def test_skipped_records_are_counted_and_recorded(url: str, tmp_path: Path, capsys: Any) -> None:
    """A malformed line has its outcome like any other, with no attempt."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    command = ["send", str(source), "--url", url, "--out", str(out), "--on-bad-record", "skip", "--json"]
    assert run_command(command) == 1
    assert orjson.loads(capsys.readouterr().out)["by_kind"] == {"bad_record": 1}
    bad = next(record for record in _records(out) if not record["ok"])
    assert (bad["key"], bad["attempts"], bad["error"]["kind"]) == (1, 0, "bad_record")


BAD = {
    "missing file": (["send", "{tmp}/none.jsonl", "--url", "{url}"], "there is no such file"),
    "empty file": (["send", "{tmp}/empty.jsonl", "--url", "{url}"], "is empty"),
    "malformed line": (["send", "{tmp}/bad.jsonl", "--url", "{url}"], "bad.jsonl:2: is not JSON"),
    "duplicate key": (["send", "{tmp}/twice.jsonl", "--url", "{url}", "--key", "id"], "records 0 and 2"),
    "no key": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--key", "nope"], "'nope'"),
    "unknown placeholder": (["send", "{tmp}/good.jsonl", "--url", "{url}/{nope}"], "'nope'"),
    "unparsable limit": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--limit", "many"], "100/min"),
    "unreachable": (["send", "{tmp}/good.jsonl", "--url", "http://127.0.0.1:1/"], "cannot reach the host"),
    "scheme": (["send", "{tmp}/good.jsonl", "--url", "ftp://127.0.0.1/"], "only http and https"),
    "format": (["send", "{tmp}/good.txt", "--url", "{url}"], "--format"),
    "environment": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--header", "A: ${PENSTOCK_NO}"], "PENSTOCK_NO"),
    "environment in a URL": (["send", "{tmp}/good.jsonl", "--url", "{url}?k=${PENSTOCK_NO}"], "no PENSTOCK_NO"),
    "environment in a body": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--body", '"${PENSTOCK_NO}"'], "--body"),
    "environment in a pull": (["pull", "{url}?k=${PENSTOCK_NO}"], "URL: the environment has no PENSTOCK_NO"),
    "environment in a start": (
        ["pull", "{url}", "--paginate", "cursor", "--start", "${PENSTOCK_NO}"],
        "--start: the environment has no PENSTOCK_NO",
    ),
    "environment in a proxy": (["pull", "{url}", "--proxy", "http://u:${PENSTOCK_NO}@h/"], "--proxy: the environment"),
    "environment in a census": (["check", "{tmp}/odd.bin", "--url", "{url}/${PENSTOCK_NO}"], "no PENSTOCK_NO"),
    "dollar": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--header", "A: Bearer $TOKEN"], "write ${TOKEN}"),
    "dollar in a URL": (["pull", "{url}?key=$TOKEN"], "write ${TOKEN}"),
    "header": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--header", "nocolon"], "'Name: value'"),
    "body": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--body", "{"], "--body is not JSON"),
    "extract": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--extract", "a["], "JMESPath"),
    "duration": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--attempt-timeout", "soon"], "not a duration"),
    "in flight": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--in-flight", "0"], "auto nor a number"),
    "option": (["send", "{tmp}/good.jsonl", "--url", "{url}", "--bogus"], "--bogus"),
    "no dim": (["check", "{tmp}/odd.bin", "--url", "{url}"], "--dim"),
    "odd size": (["check", "{tmp}/odd.bin", "--url", "{url}", "--dim", "3"], "multiple"),
    "preset": (["check", "{tmp}/odd.bin", "--url", "{url}", "--dim", "2", "--preset", "no"], "unknown preset"),
    "vector body": (["check", "{tmp}/odd.bin", "--url", "{url}", "--dim", "2", "--body", "{}"], "{vector}"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_exit_2(name: str, url: str, tmp_path: Path, capsys: Any) -> None:
    """Nothing is sent, nothing is written to the output, and the line says what to do."""
    for file, text in {
        "empty.jsonl": "",
        "good.jsonl": '{"id": 1}\n',
        "good.txt": '{"id": 1}\n',
        "bad.jsonl": '{"id": 1}\n{"id"\n',
        "twice.jsonl": '{"id": 1}\n{"id": 2}\n{"id": 1}\n',
        "odd.bin": "12345678",
    }.items():
        (tmp_path / file).write_text(text)
    arguments, expected = BAD[name]
    filled = [each.replace("{tmp}", str(tmp_path)).replace("{url}", url) for each in arguments]
    assert run_command([*filled, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert expected in captured.err
    assert not (tmp_path / "out").is_file() or (tmp_path / "out").stat().st_size == 0


def test_another_command_on_the_same_output_is_refused(url: str, jsonl: Path, tmp_path: Path, capsys: Any) -> None:
    """The refusal names what differs; --fresh starts afresh."""
    out = tmp_path / "out.jsonl"
    assert run_command(["send", str(jsonl), "--url", url, "--out", str(out), "--quiet"]) == 0
    other = ["send", str(jsonl), "--url", f"{url}/other", "--method", "PUT", "--out", str(out), "--quiet"]
    assert run_command(other) == 2
    error = capsys.readouterr().err
    assert "--method and --url differ" in error
    assert "--fresh" in error
    assert run_command([*other, "--fresh"]) == 0


def test_a_file_that_is_not_ours_is_never_overwritten(url: str, jsonl: Path, tmp_path: Path) -> None:
    """An output that exists without a run beside it is left alone."""
    out = tmp_path / "precious.jsonl"
    out.write_text("precious")
    assert run_command(["send", str(jsonl), "--url", url, "--out", str(out)]) == 2
    assert out.read_text() == "precious"


def test_standard_input_is_kept_for_the_next_start(url: str, tmp_path: Path) -> None:
    """A pipe is read once; the same command without it goes on, another pipe is refused."""
    out = tmp_path / "out.jsonl"
    command = [*COMMAND, "send", "-", "--url", url, "--out", str(out), "--quiet"]
    assert subprocess.run(command, input=b'{"a": 1}\n', check=False).returncode == 0
    assert subprocess.run(command, input=b"", check=False).returncode == 0
    assert subprocess.run(command, input=b'{"a": 2}\n', check=False, capture_output=True).returncode == 2
    assert len(_records(out)) == 1


def test_help_and_version(capsys: Any) -> None:
    """They are exit code 0; no command at all shows the help."""
    assert run_command(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out
    for command in ("send", "check", "demo"):
        assert run_command([command, "--help"]) == 0
        assert "--out" in capsys.readouterr().out
    assert run_command(["--version"]) == 0
    assert run_command([]) == 2


def test_fresh_costs_nothing_until_the_new_run_can_begin(url: str, jsonl: Path, tmp_path: Path) -> None:
    """The input itself, a file that is not ours and the old output all survive a command that cannot start."""
    out, notes = tmp_path / "out.jsonl", tmp_path / "notes.txt"
    notes.write_text("precious")
    before = jsonl.read_bytes()
    assert run_command(["send", str(jsonl), "--url", url, "--out", str(out), "--quiet"]) == 0
    done = out.read_bytes()
    for source, target in ((jsonl, jsonl), (jsonl, notes), (tmp_path / "none.jsonl", out)):
        assert run_command(["send", str(source), "--url", url, "--out", str(target), "--fresh"]) == 2
    assert run_command(["send", str(jsonl), "--url", f"{url}/{{nope}}", "--out", str(out), "--fresh"]) == 2
    assert (jsonl.read_bytes(), notes.read_text(), out.read_bytes()) == (before, "precious", done)


def test_retry_failed_needs_a_run(url: str, jsonl: Path, tmp_path: Path, capsys: Any) -> None:
    """A slip in --out must not send everything again."""
    command = ["send", str(jsonl), "--url", url, "--out", str(tmp_path / "typo.jsonl"), "--retry-failed"]
    assert run_command(command) == 2
    assert "no run" in capsys.readouterr().err


def test_whole_numbers_beyond_64_bits_stay_exact(url: str, tmp_path: Path) -> None:
    """In the URL, in a field of the body, and in the middle of a text."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"n": 12345678901234567890123}\n')
    arguments = ["--body", '{"q": "{n}", "t": "no {n}"}', "--answer", "text", "--quiet"]
    assert run_command(["send", str(source), "--url", f"{url}/{{n}}", "--out", str(out), *arguments]) == 0
    assert _records(out)[0]["value"] == '{"q":12345678901234567890123,"t":"no 12345678901234567890123"}'


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**30])
def test_whole_numbers_beyond_64_bits_of_key_and_answer_stay_exact(url: str, tmp_path: Path, number: int) -> None:
    """An answer's were rounded to a float, and a key became a text."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f'{{"n": {number}}}\n')
    arguments = ["--key", "n", "--body", '{"q": ["{n}", 1.5]}', "--quiet", "--limit", "9/s", "--limit-by", "n"]
    assert run_command(["send", str(source), "--url", f"{url}/echo", "--out", str(out), *arguments]) == 0
    record = json.loads(out.read_text())
    assert (record["key"], record["value"]) == (number, {"q": [number, 1.5]})


def test_a_broken_line_with_a_long_number_is_told_as_any_other(url: str, tmp_path: Path, capsys: Any) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"n": 12345678901234567890123, broken\n')
    assert run_command(["send", str(source), "--url", url, "--out", str(out), "--quiet"]) == 2
    assert "is not JSON" in capsys.readouterr().err


def test_a_server_that_goes_away_costs_few_items(jsonl: Path, tmp_path: Path) -> None:
    """While nobody is there the host is probed; the attempts of the items are not used up."""
    source, out = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"n": {n}}}\n' for n in range(20_000)))
    server = subprocess.Popen([sys.executable, "-m", "penstock.testing.fault_server"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    where = server.stdout.readline().decode().split()[-1]
    command = [*COMMAND, "send", str(source), "--url", where, "--out", str(out), "--limit", "500/s", "--quiet"]
    try:
        with subprocess.Popen(command) as client:
            while not out.exists() or out.stat().st_size == 0:
                assert client.poll() is None
            server.kill()
            server.wait()
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(3)
            client.terminate()
            assert client.wait(20) == 3
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert sum(not record["ok"] for record in _records(out)) < 50

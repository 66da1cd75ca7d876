"""`penstock send` with a table for an output, for real: resumed, killed before the rename, on a full disk."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from .processes import (
    ENVIRONMENT,
    Ended,
    fault_server,
    finish,
    records,
    run_send,
    start_send,
    wait_until,
    write_items,
)
from .test_send_files import small_disk, wide_items

pytestmark = pytest.mark.real

NAMES = ["key", "ok", "status", "attempts", "waited_ms", "service_ms", "value", "error"]
DIES = """
import os, signal, sys
from pathlib import Path
from penstock.runs.storage import Disk

replace, out, moment = Disk.replace, Path(sys.argv.pop(1)), sys.argv.pop(1)

def dies(self, source, target):
    if target == out and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, source, target)
    if target == out:
        os.kill(os.getpid(), signal.SIGKILL)

Disk.replace = dies
from penstock.cli.main import main
main()
"""
"""A `penstock` that is killed just before or just after OUT is put in place."""


def rows_of(out: Path) -> list[dict[str, str]]:
    """The rows of a CSV output."""
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_to_its_death(out: Path, moment: str, *arguments: object) -> Ended:
    """`penstock send`, killed `before` or `after` the output is renamed into place."""
    command = [sys.executable, "-c", DIES, str(out), moment, "send", *map(str, arguments)]
    return finish(subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


def test_each_ending_has_its_format(tmp_path: Path) -> None:
    """The same run as CSV, Parquet and SQLite: one row per item, failed ones too, the same columns; .txt is lines."""
    source = write_items(tmp_path / "items.jsonl", 40)
    with fault_server(tmp_path, "--lasting", "404=0.2", "--seed", "5") as server:
        for ending in ("csv", "parquet", "db", "txt"):
            ended = run_send(source, "--url", f"{server.url}/n", "--out", tmp_path / f"out.{ending}", "--json")
            assert ended.code == 1, ended
            if ending != "txt":
                assert ended.summary["table"]["rows"] == 40
                assert list(ended.summary["table"]["columns"]) == NAMES
                assert not (tmp_path / f"out.{ending}.part").exists()
    lines = {record["key"]: record for record in records(tmp_path / "out.txt")}
    from_csv = rows_of(tmp_path / "out.csv")
    from_parquet = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    database = sqlite3.connect(tmp_path / "out.db")
    from_sqlite = [dict(zip(NAMES, row, strict=True)) for row in database.execute("SELECT * FROM rows")]
    database.close()
    for rows in (from_csv, from_parquet, from_sqlite):
        assert sorted(int(row["key"]) for row in rows) == list(range(40))
        for row in rows:
            record = lines[int(row["key"])]
            assert int(row["status"]) == record["status"]
            assert row["ok"] in (record["ok"], str(record["ok"]).lower())
            assert json.loads(row["value"] or "null") == record.get("value")
            assert json.loads(row["error"] or "null") == record.get("error")


def test_failed_items_are_mended_in_a_table_too(tmp_path: Path) -> None:
    """--retry-failed sends those only, and the table of all of them takes the place of the first one."""
    source, out = write_items(tmp_path / "items.jsonl", 30), tmp_path / "out.csv"
    with fault_server(tmp_path, "--fault", "500=0.4", "--seed", "1") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--json"]
        ended = run_send(*command)
        failed = ended.summary["failed"]
        assert 0 < failed < 30
        assert [row["ok"] for row in rows_of(out)].count("false") == failed
        again = run_send(*command, "--retry-failed")
        left = again.summary["failed"]
        assert left < failed
        assert server.statistics()["requests"] == 30 + failed
    assert sorted(int(row["key"]) for row in rows_of(out)) == list(range(30))
    assert [row["ok"] for row in rows_of(out)].count("false") == left


def test_a_stopped_run_has_no_table_yet_and_goes_on(tmp_path: Path) -> None:
    """Interrupted: exit 3, no OUT, and it says where the rows are; the same command makes the table of all."""
    source, out = write_items(tmp_path / "items.jsonl", 20), tmp_path / "out.csv"
    with fault_server(tmp_path, "--latency", "0.5") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "5"]
        process = start_send(command)
        wait_until(lambda: server.statistics()["requests"] >= 5)
        process.send_signal(signal.SIGINT)
        ended = finish(process)
        assert ended.code == 3, ended
        assert "rows.jsonl so far" in ended.errors
        assert not out.exists()
        assert run_send(*command, "--quiet").code == 0
        assert server.statistics()["requests"] == 20
    assert sorted(int(row["key"]) for row in rows_of(out)) == list(range(20))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_the_rename_the_same_command_finishes(tmp_path: Path, moment: str) -> None:
    """All was sent, the table was about to appear: the next start sends nothing and puts it in place."""
    source, out = write_items(tmp_path / "items.jsonl", 10), tmp_path / "out.sqlite"
    with fault_server(tmp_path) as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--quiet"]
        assert run_to_its_death(out, moment, *command).code == -signal.SIGKILL
        assert out.exists() == (moment == "after")
        ended = run_send(*command)
        assert ended.code == 0, ended
        assert server.statistics()["requests"] == 10
    database = sqlite3.connect(out)
    assert sorted(database.execute("SELECT key FROM rows")) == [(number,) for number in range(10)]
    database.close()


def test_killed_at_the_rename_of_a_mended_table_the_mended_one_wins(tmp_path: Path) -> None:
    """After --retry-failed the old table is still there when the process dies: it is not taken for the new one."""
    source, out = write_items(tmp_path / "items.jsonl", 10), tmp_path / "out.csv"
    with fault_server(tmp_path, "--fault", "500=1") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--quiet"]
        assert run_send(*command).code == 1
    folder = tmp_path / "second"
    folder.mkdir()
    with fault_server(folder, "--port", server.url.rpartition(":")[2]):
        assert run_to_its_death(out, "before", *command, "--retry-failed").code == -signal.SIGKILL
        assert {row["ok"] for row in rows_of(out)} == {"false"}
        assert run_send(*command).code == 0
    assert {row["ok"] for row in rows_of(out)} == {"true"}


@pytest.mark.parametrize("ending", ["csv", "parquet", "sqlite"])
def test_a_disk_too_small_for_the_table_keeps_the_rows(tmp_path: Path, ending: str) -> None:
    """The rows fit, the table does not: one line, exit 3, nothing half; with room the same command sends nothing."""
    source, disk = wide_items(tmp_path / "items.jsonl", 100), tmp_path / "disk"
    if ending == "parquet":
        # Text that does not compress.
        source.write_text("".join(json.dumps({"n": n, "pad": noise(n)}) + "\n" for n in range(100)))
    with small_disk(disk, 480), fault_server(tmp_path) as server:
        out = disk / f"out.{ending}"
        command = [source, "--url", f"{server.url}/n", "--out", out]
        ended = run_send(*command)
        assert ended.code == 3, ended
        assert "rows.jsonl" in ended.errors
        assert "tries again" in ended.errors
        assert "Traceback" not in ended.errors
        assert [path.name for path in disk.iterdir()] == [f"out.{ending}.run"]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run_send(*command, "--quiet").code == 0
        assert out.stat().st_size > 100_000
        assert server.statistics()["requests"] == 100


def noise(seed: int) -> str:
    """3,000 characters that no compression makes much of."""
    import random

    return random.Random(seed).randbytes(1500).hex()


def test_somebody_elses_file_is_not_replaced_at_the_end(tmp_path: Path) -> None:
    """A file that appeared at OUT while the run was stopped is refused, and stays; as does one without a run."""
    source, out = write_items(tmp_path / "items.jsonl", 20), tmp_path / "out.csv"
    with fault_server(tmp_path, "--latency", "0.5") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "5"]
        process = start_send(command)
        wait_until(lambda: server.statistics()["requests"] >= 5)
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 3
        out.write_text("precious\n")
        ended = run_send(*command)
        assert ended.code == 2
        assert "not the output of a run" in ended.errors
        assert out.read_text() == "precious\n"


def test_fresh_forgets_the_table_with_the_run(tmp_path: Path) -> None:
    """--fresh: a table of the run before is not there while the new run goes on; then the new one is."""
    source, out = write_items(tmp_path / "items.jsonl", 10), tmp_path / "out.csv"
    with fault_server(tmp_path) as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--quiet"]
        assert run_send(*command).code == 0
        write_items(source, 5)
        assert run_to_its_death(out, "before", *command, "--fresh").code == -signal.SIGKILL
        assert not out.exists()
        assert run_send(*command).code == 0
        assert server.statistics()["requests"] == 15
    assert sorted(int(row["key"]) for row in rows_of(out)) == list(range(5))


def test_a_finished_table_that_was_worked_on_stays(tmp_path: Path) -> None:
    """The same command on a finished run sends nothing and does not undo what was done to its table."""
    source, out = write_items(tmp_path / "items.jsonl", 5), tmp_path / "out.sqlite"
    with fault_server(tmp_path) as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--quiet"]
        assert run_send(*command).code == 0
        database = sqlite3.connect(out)
        database.execute("CREATE TABLE mine (x)")
        database.close()
        assert run_send(*command).code == 0
    database = sqlite3.connect(out)
    assert database.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    database.close()

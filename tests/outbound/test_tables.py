"""Tables of rows that nobody described: what goes in comes out again, in every format."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import OutputError, StorageError, UsageError
from penstock.outbound.run_output import RunOutput
from penstock.outbound.tables import TableReport, finish_table, require, table_format, write_table

FORMATS = ("csv", "parquet", "sqlite")
Read = Callable[[Path], tuple[list[str], list[list[Any]]]]


def read_csv(path: Path) -> tuple[list[str], list[list[Any]]]:
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file, strict=True)
    return names, [list(row) for row in rows]


def read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    table = pyarrow.parquet.read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def read_sqlite(path: Path) -> tuple[list[str], list[list[Any]]]:
    database = sqlite3.connect(path)
    try:
        names = [each[1] for each in database.execute("PRAGMA table_info(rows)")]
        return names, [list(row) for row in database.execute("SELECT * FROM rows ORDER BY _rowid_")]
    finally:
        database.close()


READERS: dict[str, Read] = {"csv": read_csv, "parquet": read_parquet, "sqlite": read_sqlite}


def spool(path: Path, rows: list[Any]) -> Path:
    """The rows as JSON lines."""
    path.write_bytes(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
    return path


def made(folder: Path, rows: list[Any], format_: str, **options: Any) -> tuple[TableReport, list[str], list[list[Any]]]:
    """The report, the names and the rows of a table."""
    out = folder / f"out.{format_}"
    report = write_table(spool(folder / "rows.jsonl", rows), out, format_, **options)
    names, found = READERS[format_](out)
    assert list(report.columns) == names
    assert report.rows == len(rows) == len(found)
    return report, names, found


def original(value: Any, type_: str, format_: str) -> Any:
    """What a value that was read back stands for."""
    if value is None or (format_ == "csv" and value == "" and type_ != "text"):
        return None
    if type_ == "json":
        return json.loads(value)
    if format_ == "csv" and type_ in ("integer", "real"):
        return int(value) if type_ == "integer" else float(value)
    if type_ == "boolean" and format_ != "parquet":
        return {"true": True, "false": False, 1: True, 0: False}[value]
    return value


def same(found: Any, wanted: Any, type_: str, format_: str) -> bool:
    """Whether a value that was read back is the one of the row."""
    value = original(found, type_, format_)
    if format_ == "csv" and wanted in (None, "") and not isinstance(wanted, (bool, int, float)):
        return value in (None, "")
    if type_ == "text" and wanted is not None and not isinstance(wanted, str):
        return isinstance(value, str) and bool(json.loads(value) == wanted)
    return bool(value == wanted) and (value is None) == (wanted is None)


NAMES = st.sampled_from(
    ["a", "A", "a_2", "A_2", "", '"', "rowid", "select", "value", "ä", "Ä", "a\0", "a.b", "x,y\r\n"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGERS = st.one_of(st.integers(-9, 9), st.integers(-(2**80), 2**80), st.sampled_from([2**53 + 1, 2**63, 2**64 + 1]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, TEXTS, st.sampled_from(["", "1", "null", "1.5"]))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2))
ROWS = st.lists(st.dictionaries(NAMES | TEXTS, VALUES, max_size=5) | SCALARS, max_size=12)
OF_ONE_TYPE = st.sampled_from([INTEGERS, FLOATS, TEXTS, st.booleans(), st.integers(-9, 9) | FLOATS]).flatmap(
    lambda values: st.lists(st.fixed_dictionaries({}, optional={"a": values | st.none(), "b": values}), max_size=12)
)


@pytest.mark.parametrize("format_", FORMATS)
@settings(deadline=None)
@given(rows=ROWS | OF_ONE_TYPE)
def test_what_goes_in_comes_out(format_: str, rows: list[Any]) -> None:
    """Any rows of JSON: as many rows in the same order, each value where its key is, none altered."""
    with tempfile.TemporaryDirectory() as folder:
        report, _, found = made(Path(folder), rows, format_)
    objects = [row if isinstance(row, dict) else {"value": row} for row in rows]
    keys = list(dict.fromkeys(key for row in objects for key in row)) or ["value"]
    assert len(keys) == len(report.columns)
    for row, fields in zip(objects, found, strict=True):
        for key, type_, field in zip(keys, report.columns.values(), fields, strict=True):
            assert same(field, row.get(key), type_, format_), (key, type_, field, row.get(key))


@pytest.mark.parametrize(
    ("values", "type_", "csv_texts"),
    [
        ([1, None, -2], "integer", ["1", "", "-2"]),
        ([2**63 - 1, -(2**63)], "integer", ["9223372036854775807", "-9223372036854775808"]),
        ([2**53 + 1], "integer", ["9007199254740993"]),
        ([2**63], "text", ["9223372036854775808"]),
        ([1, 2**64], "text", ["1", "18446744073709551616"]),
        ([-(10**30)], "text", ["-1000000000000000000000000000000"]),
        ([1, 2.5, None], "real", ["1.0", "2.5", ""]),
        ([0.1, 1e300, 1e16, 5e-324], "real", ["0.1", "1e+300", "1e+16", "5e-324"]),
        ([2.0**70], "real", ["1.1805916207174113e+21"]),
        # As floats these would be other numbers.
        ([2**53 + 1, 0.5], "text", ["9007199254740993", "0.5"]),
        ([2**64, 0.5], "text", ["18446744073709551616", "0.5"]),
        ([-(2**63), -(2**63) - 1], "text", ["-9223372036854775808", "-9223372036854775809"]),
        ([True, None, False], "boolean", ["true", "", "false"]),
        ([True, 1], "text", ["true", "1"]),
        (["x", None, ""], "text", ["x", "", ""]),
        (["1", 1, 1.5, False, [1], {"a": None}], "text", ["1", "1", "1.5", "false", "[1]", '{"a":null}']),
        ([[1, "ä"], {"a": 2**70}], "json", ['[1,"ä"]', '{"a":1180591620717411303424}']),
        ([None, None], "null", ["", ""]),
    ],
    ids=str,
)
def test_types_by_what_was_seen(tmp_path: Path, values: list[Any], type_: str, csv_texts: list[str]) -> None:
    """The type of a column is the narrowest that holds all of its values; the same in every format."""
    rows = [{"n": 0, "v": value} for value in values]
    for format_ in FORMATS:
        report, _, found = made(tmp_path, rows, format_)
        assert report.columns == {"n": "integer", "v": type_}
        if format_ == "csv":
            assert [field for _, field in found] == csv_texts


def test_integers_of_any_size_are_exact_where_rows_are_bare_values(tmp_path: Path) -> None:
    """A row that is just a number of 20 digits is that number."""
    report, _, found = made(tmp_path, [12345678901234567890, 1.5], "csv")
    assert report.columns == {"value": "text"}
    assert found == [["12345678901234567890"], ["1.5"]]


def test_a_csv_is_as_the_standard_has_it(tmp_path: Path) -> None:
    """RFC 4180: a header, CRLF at each end, quotes doubled, quotes around commas, quotes and line ends."""
    made(tmp_path, [{"a": 'x"y', "b,c": "p,q"}, {"a": "l1\nl2\rl3", "b,c": " ü "}], "csv")
    wanted = 'a,"b,c"\r\n"x""y","p,q"\r\n"l1\nl2\rl3", ü \r\n'
    assert (tmp_path / "out.csv").read_bytes() == wanted.encode()


def test_names_that_a_database_takes_for_the_same_get_a_number(tmp_path: Path) -> None:
    """SQLite: names are the keys; where it cannot tell two apart, the later one is numbered, past what is taken."""
    row = {"a": 1, "A": 2, "A_2": 3, "": 4, '"': 5, "rowid": 6, "ä": 7, "Ä": 8, "z\0": 9, "a_3": 10}
    _, names, found = made(tmp_path, [row], "sqlite")
    assert names == ["a", "A_4", "A_2", "", '"', "rowid", "ä", "Ä", "z\N{SYMBOL FOR NULL}", "a_3"]
    assert found == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]


def test_columns_known_beforehand_come_first_and_are_always_there(tmp_path: Path) -> None:
    """A program that reads the table finds its columns, whatever the rows were; also in a table without rows."""
    for format_ in FORMATS:
        report, _, found = made(tmp_path, [{"b": 1, "c": 2}], format_, columns=("a", "b"))
        assert report.columns == {"a": "null", "b": "integer", "c": "integer"}
        assert found == ([["", "1", "2"]] if format_ == "csv" else [[None, 1, 2]])
        assert made(tmp_path, [], format_, columns=("a", "b"))[1] == ["a", "b"]
        assert made(tmp_path, [], format_)[1] == ["value"]


def test_more_columns_than_a_database_has_are_refused_with_a_way_on(tmp_path: Path) -> None:
    """The 2,001st column: one clear message that says where the rows are; Parquet takes them."""
    rows = spool(tmp_path / "rows.jsonl", [{f"c{number}": number} for number in range(2001)])
    with pytest.raises(StorageError, match=r"more than 2,000 columns.*rows\.jsonl.*parquet"):
        write_table(rows, tmp_path / "out.db", "sqlite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]
    assert len(write_table(rows, tmp_path / "out.parquet", "parquet").columns) == 2001
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 2001


def test_ever_different_keys_end_before_the_memory_does(tmp_path: Path) -> None:
    """Rows that never share a key are refused when there are too many columns, and not collected without end."""
    rows = spool(tmp_path / "rows.jsonl", [{f"c{number}": 1} for number in range(10_001)])
    for format_, most in (("csv", "10,000"), ("parquet", "5,000")):
        with pytest.raises(StorageError, match=f"more than {most} columns"):
            write_table(rows, tmp_path / f"out.{format_}", format_)


def test_rows_beyond_one_row_group_are_all_there(tmp_path: Path) -> None:
    """Parquet: several batches and row groups, nothing lost or doubled where they meet."""
    rows = [{"n": number, "t": "x" if number % 3 else None} for number in range(70_000)]
    _, _, found = made(tmp_path, rows, "parquet")
    assert found == [[row["n"], row["t"]] for row in rows]
    assert pyarrow.parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups > 1


def test_a_spool_that_is_not_json_is_said_with_its_line(tmp_path: Path) -> None:
    """Damage in the middle names the file and the line, and leaves no half table behind."""
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"a": 1}\n{"a": \n')
    for format_ in FORMATS:
        with pytest.raises(StorageError, match=r"rows\.jsonl:2 is not JSON"):
            write_table(rows, tmp_path / "out", format_)
    with pytest.raises(StorageError, match="No such file"):
        write_table(tmp_path / "none.jsonl", tmp_path / "out", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_old_table_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """A failure in the middle of writing leaves what was there."""
    out = tmp_path / "out.csv"
    out.write_text("old")
    (tmp_path / "out.csv.part").mkdir()
    with pytest.raises(StorageError, match=r"rows\.jsonl.*tries again"):
        write_table(spool(tmp_path / "rows.jsonl", [{"a": 1}]), out, "csv")
    assert out.read_text() == "old"


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    """A half-written part of the last try is in nobody's way; nor is the log of a database that was there."""
    for format_ in FORMATS:
        (tmp_path / f"out.{format_}.part").write_bytes(b"half")
    (tmp_path / "out.sqlite-wal").write_bytes(b"not of this database")
    for format_ in FORMATS:
        assert len(made(tmp_path, [{"a": 1}], format_)[2]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.parquet", "out.sqlite", "rows.jsonl"]


def test_a_finished_table_is_left_to_its_user(tmp_path: Path) -> None:
    """`finish_table` writes once for the same rows, again for others, and again where its output has gone."""
    rows, out, marker = spool(tmp_path / "rows.jsonl", [{"a": 1}]), tmp_path / "out.csv", tmp_path / "table.json"
    first = finish_table(rows, out, "csv", marker=marker)
    out.write_text("edited")
    assert finish_table(rows, out, "csv", marker=marker) == first == TableReport(1, {"a": "integer"})
    assert out.read_text() == "edited"
    out.unlink()
    finish_table(rows, out, "csv", marker=marker)
    assert out.read_text() == "a\n1\n"
    spool(rows, [{"a": 1}, {"a": 2.5}])
    assert finish_table(rows, out, "csv", marker=marker) == TableReport(2, {"a": "real"})
    assert out.read_text() == "a\n1.0\n2.5\n"


def test_a_table_that_was_not_put_in_place_is_made_again(tmp_path: Path) -> None:
    """Killed between the marker and the rename, the next try does not take the old table for the new one."""
    rows, out, marker = spool(tmp_path / "rows.jsonl", [{"a": 1}]), tmp_path / "out.csv", tmp_path / "table.json"
    finish_table(rows, out, "csv", marker=marker)
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"in_place": False}))
    out.write_text("older")
    finish_table(rows, out, "csv", marker=marker)
    assert out.read_text() == "a\n1\n"
    marker.write_text("[")
    out.write_text("older")
    finish_table(rows, out, "csv", marker=marker)
    assert out.read_text() == "a\n1\n"


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.b.CSV", "csv"),
        ("a.parquet", "parquet"),
        ("a.sqlite", "sqlite"),
        ("a.sqlite3", "sqlite"),
        ("a.db", "sqlite"),
    ],
)
def test_the_ending_says_the_format(name: str, format_: str) -> None:
    """By the last ending, in any case."""
    assert table_format(Path("folder.csv") / name) == format_


@pytest.mark.parametrize("name", ["a", "a.xlsx", ".csv", "csv", "a.csv.gz"])
def test_another_ending_is_refused_or_what_the_caller_says(name: str) -> None:
    """The error lists the endings there are."""
    with pytest.raises(UsageError, match=r"\.jsonl, \.ndjson, \.csv, \.parquet, \.sqlite, \.sqlite3, \.db"):
        table_format(Path(name))
    if name in ("a.xlsx", "a.csv.gz"):
        # Whoever opens it would find another format than its name says.
        with pytest.raises(UsageError, match="its ending says"):
            table_format(Path(name), otherwise="jsonl")
    else:
        assert table_format(Path(name), otherwise="jsonl") == "jsonl"


@pytest.mark.parametrize("out", ["-", "/dev/stdout", "/dev/null", "/proc/self/fd/1"])
def test_what_keeps_nothing_is_no_output(out: str) -> None:
    """`--out /dev/stdout` made the folder /dev/stdout.run before it said `Illegal seek`."""
    with pytest.raises(OutputError, match="name of a file"):
        RunOutput(Path(out), otherwise="jsonl")


def test_a_named_pipe_is_no_output(tmp_path: Path) -> None:
    """It would hang until somebody reads, and keep nothing for the session after."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="name of a file"):
        RunOutput(tmp_path / "pipe", otherwise="jsonl")


def test_a_format_that_is_not_installed_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is done; the other formats need nothing."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'penstock-http\[parquet\]'"):
        require("parquet")
    with pytest.raises(UsageError, match="sqlite3"):
        require("sqlite")
    require("csv")
    require("jsonl")
    with pytest.raises(UsageError, match="penstock"):
        write_table(spool(tmp_path / "rows.jsonl", []), tmp_path / "out.parquet", "parquet")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """Also where a program says it."""
    with pytest.raises(UsageError, match="csv, parquet, sqlite"):
        write_table(spool(tmp_path / "rows.jsonl", []), tmp_path / "out", "jsonl")


def test_what_no_format_can_hold_is_still_a_row(tmp_path: Path) -> None:
    """1e400 is legal JSON and read as infinity; half a surrogate pair becomes a question mark."""
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"a": 1e400}\n{"a": "\\ud800x"}\n{"b": 1}\n')
    for format_ in FORMATS:
        write_table(rows, tmp_path / "out", format_)
        found = [row[0] for row in READERS[format_](tmp_path / "out")[1]]
        assert found == ["inf", "?x", "" if format_ == "csv" else None]
    rows.write_bytes(b'{"a": 1e400}\n')
    assert write_table(rows, tmp_path / "out", "sqlite").columns == {"a": "real"}
    assert read_sqlite(tmp_path / "out")[1] == [[math.inf]]

"""Records come out of a file whole, in order and from any position, and what is wrong is said with its line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import InputError, UsageError
from penstock.outbound import records as records_module
from penstock.outbound.records import RecordFile, Survey
from penstock.testing import run_virtual


def a_file(folder: Path, data: bytes, name: str = "items.jsonl", **options: Any) -> RecordFile:
    path = folder / name
    path.write_bytes(data)
    return RecordFile(path, **options)


def survey(records: RecordFile, folder: Path, **options: Any) -> Survey:
    return records.survey(folder / "run", **options)


def read(records: RecordFile, found: Survey, start: int = 0, done: Any = (), *, parse: bool = True) -> list[Any]:
    """(position, key, fields or problem) of all records, through the stream that feeds the engine."""

    async def main() -> list[Any]:
        stream = records.stream(found.index, done, start, parse=parse)
        items = [item async for batch in stream.batches() for item in batch]
        return [(item.position, item.key, item.value.problem or item.value.fields) for item in items]

    return run_virtual(main())


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("a.ndjson", b'{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("a.JSONL", b'{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        ("a.jsonl", b'\n\n{"a": 1}\n  \n\r\n{"a": 2}\n\n\n', [{"a": 1}, {"a": 2}]),
        ("a.jsonl", b'\xef\xbb\xbf{"a": 1}\n', [{"a": 1}]),
        ("a.jsonl", b'1\n"two"\nnull\n[3]\n', [1, "two", None, [3]]),
        ("a.jsonl", '{"ä": "ü\u2028"}\n'.encode(), [{"ä": "ü\u2028"}]),
        ("a.csv", b"a,b\n1,x\n2,y\n", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        ("a.csv", b"a,b\r\n1,x\r\n2,y", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        ("a.csv", b"\xef\xbb\xbfa,b\n1,x\n", [{"a": "1", "b": "x"}]),
        ("a.csv", b'a,b\n1,"two\nlines, ""quoted"""\n', [{"a": "1", "b": 'two\nlines, "quoted"'}]),
        ("a.csv", b"\n\na,b\n\n1,x\n\n\n2,y\n\n", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        ("a.csv", b'"a\nb",c\n1,2\n', [{"a\nb": "1", "c": "2"}]),
        ("a.csv", "a\nä\n".encode(), [{"a": "ä"}]),
        ("a.csv", b"a,b\n,\n", [{"a": "", "b": ""}]),
    ],
)  # fmt: skip
def test_records_are_read_as_they_stand(tmp_path: Path, name: str, data: bytes, expected: list[Any]) -> None:
    """Blank lines, CRLF, byte order marks, quotes with newlines, a last line without its end."""
    records = a_file(tmp_path, data, name)
    found = survey(records, tmp_path)
    assert (found.count, found.bad, found.first_bad) == (len(expected), 0, None)
    assert [fields for _, _, fields in read(records, found)] == expected


@pytest.mark.parametrize(
    ("name", "data", "line", "what"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', 2, "is not JSON"),
        ("a.jsonl", b'\n\n{"a": 1}\n\nnot json\n', 5, "is not JSON"),
        ("a.jsonl", b'{"a": 1}\r\n{"a": 1\r\n', 2, "is not JSON"),
        ("a.jsonl", b'{"a": "\xff"}\n', 1, "is not JSON"),
        ("a.jsonl", b'{"a": NaN}\n', 1, "is not JSON"),
        ("a.jsonl", b'{"a": 1} {"a": 2}\n', 1, "is not JSON"),
        ("a.jsonl", b'{"a": 1}\n' * 5000 + b"[", 5001, "is not JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", 3, "has 1 fields where the header names 2"),
        ("a.csv", b"a,b\n1,2,3\n", 2, "has 3 fields where the header names 2"),
        ("a.csv", b'a,b\n1,"x\ny"\n\n1,2,3\n', 5, "has 3 fields"),
        ("a.csv", b"a,b\n1,\xff\n", 2, "is not UTF-8"),
        ("a.csv", b'a,b\n1,"x"y\n', 2, "is not CSV"),
        ("a.csv", b'a,b\n1,2\n3,"never closed\n5,6\n', 3, "is not CSV"),
    ],
)
def test_a_malformed_record_is_named_by_its_line(tmp_path: Path, name: str, data: bytes, line: int, what: str) -> None:
    """File, line and what is wrong with it, in one message; the survey ends there."""
    records = a_file(tmp_path, data, name)
    found = survey(records, tmp_path)
    assert found.bad == 1
    assert found.first_bad is not None
    assert found.first_bad.line == line
    assert what in str(found.first_bad)
    assert str(found.first_bad).startswith(f"{records.path}:{line}: ")


def test_malformed_records_can_be_passed_by(tmp_path: Path) -> None:
    """Asked to go on, the survey counts all bad records, and the stream hands each out with its problem."""
    records = a_file(tmp_path, b'{"a": 1}\n{\n{"a": 3}\nx\n{"a": 5}\n')
    found = survey(records, tmp_path, stop_at_bad=False)
    assert (found.count, found.bad) == (5, 2)
    got = read(records, found)
    assert [position for position, _, _ in got] == [0, 1, 2, 3, 4]
    assert [isinstance(fields, dict) for _, _, fields in got] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.csv", b"", "is empty"),
        ("a.jsonl", b"\n \n\n", "holds no records"),
        ("a.csv", b"a,b\n", "holds no records"),
        ("a.csv", b"\n\n", "holds no records"),
        ("a.csv", b"a,b,a\n1,2,3\n", "names 'a' twice"),
    ],
)
def test_a_file_without_records_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    """An input with nothing to do is a mistake, and is said to be one."""
    with pytest.raises(InputError, match=message):
        survey(a_file(tmp_path, data, name), tmp_path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Missing files, folders and unknown names each say what they are."""
    with pytest.raises(InputError, match="cannot be read: No such file"):
        RecordFile(tmp_path / "missing.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        RecordFile(tmp_path / "folder.jsonl")
    with pytest.raises(UsageError, match="--format"):
        a_file(tmp_path, b"1\n", "items.txt")
    assert a_file(tmp_path, b"1\n", "items.txt", format="jsonl").format == "jsonl"


@pytest.mark.parametrize(
    ("name", "rows", "first", "second", "key"),
    [
        ("a.jsonl", [{"id": 1}, {"id": 2}, {"id": 1}], 0, 2, 1),
        ("a.jsonl", [{"id": "1"}, {"id": 1}, {"id": "x"}, {"id": "x"}], 2, 3, "x"),
        ("a.jsonl", [{"id": number % 4999} for number in range(5000)], 0, 4999, 0),
    ],
)
def test_duplicate_keys_name_both_records(
    tmp_path: Path, name: str, rows: list[Any], first: int, second: int, key: Any
) -> None:
    """Two records of one key would be one in the output, so they are refused, both named."""
    data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    with pytest.raises(InputError, match=f"records {first} and {second} .* {key!r}"):
        survey(a_file(tmp_path, data, name, key="id"), tmp_path)
    assert not (tmp_path / "run" / "keys").exists()


def test_different_keys_are_accepted(tmp_path: Path) -> None:
    """A text and a number that look alike are different keys, and items carry their keys."""
    records = a_file(tmp_path, b'{"id": 1}\n{"id": "1"}\n{"id": -1}\n{"id": ""}\n', key="id")
    found = survey(records, tmp_path)
    assert [key for _, key, _ in read(records, found)] == [1, "1", -1, ""]


@pytest.mark.parametrize("bad", ["null", "1.5", "true", "[1]", '{"a": 1}'])
def test_a_key_must_be_a_text_or_a_whole_number(tmp_path: Path, bad: str) -> None:
    """What cannot name a record is a malformed record."""
    records = a_file(tmp_path, b'{"id": 1}\n{"id": %b}\n{}\n7\n' % bad.encode(), key="id")
    assert survey(records, tmp_path, stop_at_bad=False).bad == 3
    assert "--key" in str(survey(records, tmp_path).first_bad)


def test_a_huge_line_is_a_bad_record_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line over the cap is one malformed record; the ones around it are read as they are."""
    monkeypatch.setattr(records_module, "LONGEST_RECORD", 100)
    for length in (98, 99, 100, 101, 102, 103, 199, 200, 201, 202, 500):
        text = b'"' + b"x" * (length - 2) + b'"'
        for end in (b"\n2\n", b""):
            records = a_file(tmp_path, b"1\n" + text + end)
            found = survey(records, tmp_path, stop_at_bad=False)
            got = [fields for _, _, fields in read(records, found)]
            assert len(got) == found.count == (3 if end else 2), length
            assert got[0] == 1
            assert got[1] == text[1:-1].decode() if length <= 100 else "longer" in got[1]
            assert not end or got[2] == 2
            assert found.bad == (length > 100)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(
    rows=st.lists(json_values, min_size=1, max_size=60),
    start=st.integers(0, 60),
    every=st.integers(1, 7),
    done=st.sets(st.integers(0, 60)),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n  \n"]), min_size=1, max_size=5),
)
def test_reading_from_any_position_equals_a_full_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], start: int, every: int, done: set[int], ends: list[bytes]
) -> None:
    """The index leads to the same records as reading from the start, without those that are done."""
    folder = tmp_path_factory.mktemp("records")
    data = b"".join(orjson.dumps(row) + ends[number % len(ends)] for number, row in enumerate(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "INDEX_EVERY", every)
        patch.setattr(records_module, "BATCH_RECORDS", 3)
        records = a_file(folder, data)
        found = survey(records, folder)
        assert len(found.index) == -(-len(rows) // every)
        got = read(records, found, start, done)
    assert got == [(number, number, row) for number, row in enumerate(rows) if number >= start and number not in done]


cells = st.text(st.sampled_from("ab\",\n 'ä;\t"), max_size=6)


@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=40),
    start=st.integers(0, 40),
    every=st.integers(1, 5),
    terminator=st.sampled_from(["\n", "\r\n"]),
)
def test_csv_is_read_as_pythons_own_reader_does_from_any_position(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], start: int, every: int, terminator: str
) -> None:
    """What csv.writer wrote comes back, from any position, quotes and newlines and all."""
    folder = tmp_path_factory.mktemp("records")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=terminator)
    writer.writerow(("one", "two"))
    writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "INDEX_EVERY", every)
        records = a_file(folder, text.getvalue().encode(), "a.csv")
        found = survey(records, folder)
        got = read(records, found, start)
    assert got == [(n, n, {"one": a, "two": b}) for n, (a, b) in enumerate(rows) if n >= start]


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    """Another size, or another content where it is sampled, is another fingerprint; the same file is the same."""
    data = b"".join(b'{"n": %d}\n' % number for number in range(1000))
    one = a_file(tmp_path, data).fingerprint()
    assert a_file(tmp_path, data).fingerprint() == one
    assert a_file(tmp_path, data + b"1\n").fingerprint() != one
    assert a_file(tmp_path, data.replace(b"500", b"501")).fingerprint() != one
    assert a_file(tmp_path, data, format="csv").fingerprint() != one
    assert json.dumps(one)


def test_a_stream_that_is_left_early_closes_its_file(tmp_path: Path) -> None:
    """Leaving the stream in the middle, or cancelling it, leaves no open file and no task."""
    records = a_file(tmp_path, b'{"a": 1}\n' * 2000)
    found = survey(records, tmp_path)

    async def main() -> None:
        stream = records.stream(found.index)
        batches = stream.batches()
        async for _ in batches:
            break
        await batches.aclose()  # type: ignore[attr-defined]
        task = asyncio.create_task(_read_all(stream))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


async def _read_all(stream: Any) -> None:
    async for _ in stream.batches():
        pass


def test_records_that_need_no_look_inside_are_passed_on_as_they_stand(tmp_path: Path) -> None:
    """Without `parse` the bytes of a line go through unparsed."""
    records = a_file(tmp_path, b'{"a":   1}\n')
    found = survey(records, tmp_path)

    async def main() -> list[Any]:
        return [item.value async for batch in records.stream(found.index, parse=False).batches() for item in batch]

    (record,) = run_virtual(main())
    assert (record.raw, record.fields) == (b'{"a":   1}', None)

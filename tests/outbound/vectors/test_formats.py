"""Vectors out of every format, and a clear refusal of everything else."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import InputError, UsageError
from penstock.outbound.vectors import numeric
from penstock.outbound.vectors.formats import open_vectors
from penstock.outbound.vectors.raw import FixedRows, Layout
from penstock.outbound.vectors.source import VectorSource, fingerprint

Vectors = np.ndarray[Any, Any]
DIM, COUNT = 12, 1000


def _floats(count: int = COUNT, dim: int = DIM) -> Vectors:
    return np.random.default_rng(7).standard_normal((count, dim)).astype(np.float32)


def _bytes(count: int = COUNT, dim: int = DIM) -> Vectors:
    return np.random.default_rng(7).integers(0, 256, (count, dim), np.uint8)


def _raw(path: Path, data: Vectors) -> Path:
    path.write_bytes(data.tobytes())
    return path


def _xbin(path: Path, data: Vectors) -> Path:
    path.write_bytes(np.array(data.shape, "<u4").tobytes() + data.tobytes())
    return path


def _vecs(path: Path, data: Vectors) -> Path:
    head = np.array([data.shape[1]], "<i4").tobytes()
    path.write_bytes(b"".join(head + row.tobytes() for row in data))
    return path


def _npy(path: Path, data: Vectors) -> Path:
    np.save(path, data)
    return path


def _parquet(path: Path, data: Vectors, rows: int = 300, fixed: bool = False) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = {"f4": pa.float32(), "f8": pa.float64(), "f2": pa.float16(), "u1": pa.uint8()}[data.dtype.str[1:]]
    lists = pa.list_(kind, data.shape[1]) if fixed else pa.list_(kind)
    column = pa.array(list(data), lists)
    pq.write_table(pa.table({"id": range(len(data)), "emb": column}), path, row_group_size=rows)
    return path


def _hdf5(path: Path, data: Vectors) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file["train"] = data
        file["test"] = data[:3]
        file["neighbors"] = np.zeros((3, 10), np.int32)
    return path


CASES: list[tuple[str, str, Callable[[Path, Vectors], Path], str, dict[str, Any]]] = [
    ("v.bin", "raw", _raw, "float32", {"dim": DIM}),
    ("v.f32", "raw", _raw, "float32", {"dim": DIM}),
    ("v.raw", "raw", _raw, "float32", {"dim": DIM}),
    ("noext", "raw", _raw, "float32", {"dim": DIM}),
    ("v.bin", "raw", _raw, "uint8", {"dim": DIM, "dtype": "uint8"}),
    ("v.bin", "raw", _raw, "float64", {"dim": DIM, "dtype": "float64"}),
    ("v.npy", "npy", _npy, "float32", {}),
    ("v.npy", "npy", _npy, "float64", {}),
    ("v.npy", "npy", _npy, "float16", {}),
    ("v.npy", "npy", _npy, ">f4", {}),
    ("v.npy", "npy", _npy, "uint8", {"dim": DIM}),
    ("v.fvecs", "fvecs", _vecs, "float32", {}),
    ("v.bvecs", "bvecs", _vecs, "uint8", {}),
    ("v.fbin", "fbin", _xbin, "float32", {}),
    ("v.u8bin", "u8bin", _xbin, "uint8", {}),
    ("v.i8bin", "i8bin", _xbin, "int8", {}),
    ("v.bin", "fbin", _xbin, "float32", {}),
    ("v.bin", "fbin", _xbin, "float32", {"dim": DIM}),
    ("v.bin", "u8bin", _xbin, "uint8", {"format": "u8bin"}),
    ("v.parquet", "parquet", _parquet, "float32", {}),
    ("v.parquet", "parquet", _parquet, "float64", {"column": "emb"}),
    ("v.parquet", "parquet", lambda p, d: _parquet(p, d, fixed=True), "float16", {"dim": DIM}),
    ("v.pq", "parquet", lambda p, d: _parquet(p, d, rows=7), "uint8", {}),
    ("v.hdf5", "hdf5", _hdf5, "float32", {}),
    ("v.h5", "hdf5", _hdf5, "float64", {"dim": DIM}),
]


def _data(item: str) -> Vectors:
    whole = np.dtype(item).kind in "ui"
    return (_bytes() if whole else _floats()).astype(item)


@pytest.mark.parametrize(("name", "format", "make", "item", "options"), CASES)
def test_every_format(
    tmp_path: Path,
    name: str,
    format: str,  # noqa: A002
    make: Callable[[Path, Vectors], Path],
    item: str,
    options: dict[str, Any],
) -> None:
    """Found by itself, read in any order and in blocks of any size, as float32 or as its integers."""
    data = _data(item)
    wanted = data if data.dtype.kind in "ui" else data.astype(np.float32)
    with open_vectors(make(tmp_path / name, data), **options) as source:
        assert (source.format, source.count, source.dim) == (format, COUNT, DIM)
        assert source.dtype == wanted.dtype
        assert format in source.describe()
        assert "1,000 vectors of 12" in source.describe()
        for start, count in [
            (0, 10),
            (10, 700),
            (990, 10),
            (0, COUNT),
            (999, 1),
            (5, 0),
            (299, 3),
            (1000, 0),
        ]:
            block = source.read(start, count)
            assert block.flags.c_contiguous
            assert block.dtype == wanted.dtype
            np.testing.assert_array_equal(block, wanted[start : start + count])


def test_fuzzed_reads_of_parquet(tmp_path: Path) -> None:
    """Jumping about among row groups of uneven size gives the same rows as the array."""
    data = _floats(500, 3)
    with open_vectors(_parquet(tmp_path / "v.parquet", data, rows=61)) as source:
        chance = np.random.default_rng(3)
        for _ in range(200):
            start = int(chance.integers(0, 500))
            count = int(chance.integers(0, min(130, 500 - start) + 1))
            np.testing.assert_array_equal(source.read(start, count), data[start : start + count])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(1, 40), dim=st.integers(1, 9))
def test_any_cut_of_a_raw_file(tmp_path: Path, data: st.DataObject, count: int, dim: int) -> None:
    """The rows start .. start + count - 1, for every start and count."""
    vectors = _floats(count, dim)
    with open_vectors(_raw(tmp_path / "v.bin", vectors), dim=dim, format="raw") as source:
        start = data.draw(st.integers(0, count))
        number = data.draw(st.integers(0, count - start))
        np.testing.assert_array_equal(source.read(start, number), vectors[start : start + number])


def test_one_buffer(tmp_path: Path) -> None:
    """Blocks share memory: a whole pass costs one block."""
    with open_vectors(_raw(tmp_path / "v.bin", _floats()), dim=DIM) as source:
        first = source.read(0, 100)
        assert np.shares_memory(first, source.read(100, 100))
        assert np.shares_memory(first, source.read(200, 50))


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, COUNT + 1), (COUNT, 1), (5, -1)])
def test_rows_outside(tmp_path: Path, start: int, count: int) -> None:
    """Nothing is read that is not there."""
    with open_vectors(_raw(tmp_path / "v.bin", _floats()), dim=DIM) as source, pytest.raises(IndexError):
        source.read(start, count)


def test_offsets_beyond_32_bits(tmp_path: Path) -> None:
    """Row 5 million of 128 float32 begins at byte 2.5e9, also when numpy integers are passed in.

    big-ann's reader multiplies an int32 there and overflows; the file here is sparse.
    """
    path = tmp_path / "big.bin"
    row = np.arange(128, dtype=np.float32)
    at = 5_000_000
    with path.open("wb") as file:
        file.seek(at * 512)
        file.write(row.tobytes())
    with open_vectors(path, dim=128) as source:
        assert source.count == at + 1
        found = source.read(np.int32(at), np.int32(1))  # type: ignore[arg-type]
        np.testing.assert_array_equal(found[0], row)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "make"), [("v.bin", _raw), ("v.parquet", _parquet), ("v.hdf5", _hdf5)])
def test_nan_names_the_first_row(
    tmp_path: Path, value: float, name: str, make: Callable[[Path, Vectors], Path]
) -> None:
    """Refused with its position in the file, or marked."""
    data = _floats()
    data[417, 3] = value
    data[500, 0] = value
    with open_vectors(make(tmp_path / name, data), dim=DIM) as source:
        assert source.read(0, 417) is not None
        with pytest.raises(InputError, match=r"vector 417 .*NaN or infinity") as caught:
            source.read(400, 200)
        assert caught.value.path == str(source.path)
        block, good = source.read_with_mask(400, 200)
        assert good is not None
        assert np.flatnonzero(~good).tolist() == [17, 100]
        np.testing.assert_array_equal(block, data[400:600])
        assert source.read_with_mask(0, 400)[1] is None


def test_float64_beyond_float32_is_bad(tmp_path: Path) -> None:
    """1e300 has no float32: it is not sent as infinity."""
    data = _floats().astype(np.float64)
    data[3, 3] = 1e300
    with open_vectors(_npy(tmp_path / "v.npy", data)) as source, pytest.raises(InputError, match="vector 3 "):
        source.read(0, 10)


def _refused(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        open_vectors(path, **options).close()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a directory, empty."""
    assert "no such file" in _refused(tmp_path / "none.bin", dim=4)
    assert "directory" in _refused(tmp_path, dim=4)
    (tmp_path / "empty.bin").touch()
    assert "is empty" in _refused(tmp_path / "empty.bin", dim=4)
    (tmp_path / "file").write_bytes(b"1234")
    assert "cannot be read" in _refused(tmp_path / "file" / "below", dim=4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    """Says so."""
    path = _raw(tmp_path / "v.bin", _floats())
    path.chmod(0)
    assert "cannot be read" in _refused(path, dim=DIM)


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("v.bin", bytes(48), {}, "give --dim"),
        ("v.bin", bytes(512 * 3), {}, "64, 96, 128"),
        ("v.bin", bytes(50), {"dim": 12}, "2 are left over"),
        ("v.bin", bytes(50), {"format": "raw", "dim": 12}, "not a multiple of 48"),
        ("v.csv", b"1,2,3\n", {"dim": 1}, "not a file of vectors"),
        ("v.jsonl", b"[1,2]\n", {}, "not a file of vectors"),
        ("v.npz", b"PK\3\4", {}, "not a file of vectors"),
        ("v.ivecs", bytes(8), {}, "ids of neighbours"),
        ("v.fvecs", bytes(8), {}, "dimension 0"),
        ("v.fvecs", b"\1\0", {}, "dimension 0"),
        ("v.fvecs", b"\2\0\0\0" + bytes(13), {}, "cut off or not fvecs"),
        ("v.bvecs", b"\2\0\0\0" + bytes(1), {}, "cut off or not bvecs"),
        ("v.fbin", b"\2\0\0\0\1\0\0\0" + bytes(7), {}, "takes 16 bytes, and it has 15"),
        ("v.fbin", bytes(8), {}, "0 vectors of dimension 0"),
        ("v.u8bin", b"\1\0", {}, "cut off or not u8bin"),
        ("v.fbin", b"\2\0\0\0\1\0\0\0" + bytes(8), {"dim": 3}, "--dim 3 was given, but the file says 1"),
        ("v.npy", b"hello world", {}, "is not npy"),
        ("v.npy", b"\x93NUMPY\x01\x00", {}, "header cannot be read"),
        ("v.npy", b"\x93NUMPY\x09\x00\x00\x00", {}, "version 9.0"),
        ("v.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': junk  }", {}, "header cannot be read"),
        ("v.parquet", b"hello world", {}, "is not parquet"),
        ("v.parquet", b"PAR1 and nothing", {}, "cannot be read as Parquet"),
        ("v.hdf5", b"hello world", {}, "is not hdf5"),
        ("v.hdf5", b"\x89HDF\r\n\x1a\nno", {}, "cannot be read as HDF5"),
        ("v.bin", bytes(48), {"format": "hdf5"}, "is not hdf5"),
        ("v.bin", bytes(48), {"dim": 12, "column": "emb"}, "only makes sense"),
    ],
)
def test_content_that_is_refused(tmp_path: Path, name: str, content: bytes, options: dict[str, Any], said: str) -> None:
    """Each names the file and what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)
    assert said in _refused(path, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "csv"}, "unknown vector format"),
        ({"dim": 0}, "--dim"),
        ({"dtype": "int32"}, "unknown item type"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """Refused before the file is looked at."""
    with pytest.raises(UsageError, match=said):
        open_vectors(tmp_path / "none", **options)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.asfortranarray(_floats()), "Fortran"),
        (_floats().ravel(), r"shape \(12000,\)"),
        (np.zeros((2, 3, 4), np.float32), "shape"),
        (np.zeros((5, 4), np.int64), "holds int64"),
        (np.zeros((5, 4), np.complex64), "holds complex64"),
        (np.zeros((5, 4), [("x", "<f4")]), "holds void"),
        (np.zeros((5, 4), bool), "holds bool"),
        (np.zeros((0, 4), np.float32), "no vectors"),
        (np.zeros((4, 0), np.float32), "dimension 0"),
    ],
)
def test_npy_that_is_refused(tmp_path: Path, data: Vectors, said: str) -> None:
    """Arrays that are not a plain list of vectors."""
    _npy(tmp_path / "v.npy", data)
    with pytest.raises(InputError, match=said):
        open_vectors(tmp_path / "v.npy")


def test_npy_never_unpickles(tmp_path: Path) -> None:
    """An array of objects is refused by its header."""
    np.save(tmp_path / "v.npy", np.array([[object()]], dtype=object), allow_pickle=True)
    assert "unpickled" in _refused(tmp_path / "v.npy")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(tmp_path: Path, version: tuple[int, int]) -> None:
    """All three versions of the header."""
    data = _floats()
    with (tmp_path / "v.npy").open("wb") as file:
        np.lib.format.write_array(file, data, version=version)
    with open_vectors(tmp_path / "v.npy") as source:
        np.testing.assert_array_equal(source.read(0, COUNT), data)


def test_npy_cut_off(tmp_path: Path) -> None:
    """Shorter than its header says."""
    path = _npy(tmp_path / "v.npy", _floats())
    os.truncate(path, path.stat().st_size - 1)
    assert "cut off" in _refused(path)


def test_damaged_row_of_vecs(tmp_path: Path) -> None:
    """The dimension of every row is verified when it is read, not only that of the first."""
    path = _vecs(tmp_path / "v.fvecs", _floats())
    with path.open("r+b") as file:
        file.seek(700 * (4 + 4 * DIM))
        file.write(b"\x0b")
    with open_vectors(path) as source:
        source.read(0, 700)
        with pytest.raises(InputError, match=r"vector 700 .*dimension 11"):
            source.read(600, 200)


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    """Cut off while the run goes on: an error, not zeros."""
    path = _raw(tmp_path / "v.bin", _floats())
    with open_vectors(path, dim=DIM) as source:
        os.truncate(path, 500 * 4 * DIM + 7)
        source.read(0, 500)
        with pytest.raises(InputError, match="ends within vector 500"):
            source.read(400, 200)


def test_ambiguous_raw_or_fbin(tmp_path: Path) -> None:
    """A header that fits and a size that fits raw as well: refused, and either option settles it."""
    data = _floats(8, 2)
    path = _xbin(tmp_path / "v.bin", data)  # 8 + 64 bytes: also 9 rows of 2
    said = _refused(path, dim=2)
    assert "--format fbin" in said
    assert "--format raw" in said
    with open_vectors(path, dim=2, format="fbin") as source:
        np.testing.assert_array_equal(source.read(0, 8), data)
    with open_vectors(path, dim=2, format="raw") as source:
        assert source.count == 9


def test_ambiguous_bytes(tmp_path: Path) -> None:
    """.bin with one byte an item can be signed or not."""
    said = _refused(_xbin(tmp_path / "v.bin", _bytes()))
    assert "--format u8bin or --format i8bin" in said


def test_ambiguous_magic(tmp_path: Path) -> None:
    """A raw file that happens to begin like Parquet."""
    path = tmp_path / "v.bin"
    path.write_bytes(b"PAR1" + bytes(44))
    assert "--format parquet or --format raw" in _refused(path, dim=12)
    with open_vectors(path, dim=12, format="raw") as source:
        assert source.count == 1


def _table(path: Path, **columns: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 2.0], [3.0]], "vector 1 .*has 1 components, wanted are 2"),
        ([[1.0, 2.0], None], "vector 1 .*is null"),
        ([[1.0, 2.0], [3.0, None]], "vector 1 .*holds a null"),
        ([[], [1.0]], "vector 0 .*has 0 components"),
        ([None, [1.0]], "vector 0 .*is null"),
    ],
)
def test_parquet_rows_that_are_no_vectors(tmp_path: Path, rows: list[Any], said: str) -> None:
    """Ragged, null, empty."""
    import pyarrow as pa

    path = _table(tmp_path / "v.parquet", emb=pa.array(rows, pa.list_(pa.float32())))
    with pytest.raises(InputError, match=said), open_vectors(path) as source:
        source.read(0, 2)


def test_parquet_columns(tmp_path: Path) -> None:
    """None that fits, several that fit, and the choice among them."""
    assert "none" in _refused(_table(tmp_path / "a.parquet", x=[1, 2]))
    path = _table(tmp_path / "b.parquet", x=[[1.0], [2.0]], y=[[3.0, 4.0], [5.0, 6.0]], z=["a", "b"])
    assert "--column NAME; columns of lists of numbers: x, y" in _refused(path)
    assert "no column 'z'" in _refused(path, column="z")
    assert "--dim 3" in _refused(path, column="y", dim=3)
    with open_vectors(path, column="y") as source:
        assert source.read(1, 1).tolist() == [[5.0, 6.0]]


def test_parquet_without_rows(tmp_path: Path) -> None:
    """Says that there are none."""
    import pyarrow as pa

    path = _table(tmp_path / "v.parquet", emb=pa.array([], pa.list_(pa.float32())))
    assert "no vectors" in _refused(path)


def test_hdf5_datasets(tmp_path: Path) -> None:
    """None that fits, several that fit, and one inside a group."""
    import h5py

    path = tmp_path / "v.hdf5"
    with h5py.File(path, "w") as file:
        file["ids"] = np.zeros(3, np.int64)
    assert "none" in _refused(path)
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros((2, 3), np.float32)
        file["deep/b"] = np.ones((4, 5), np.float32)
    assert "a, deep/b" in _refused(path)
    assert "no dataset 'c'" in _refused(path, column="c")
    assert "--dim 4" in _refused(path, column="a", dim=4)
    with open_vectors(path, column="/deep/b") as source:
        assert (source.count, source.dim) == (4, 5)


@pytest.mark.parametrize(("module", "extra", "make"), [("pyarrow", "parquet", _parquet), ("h5py", "hdf5", _hdf5)])
def test_missing_extra_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    make: Callable[[Path, Vectors], Path],
) -> None:
    """Without the library, the error says what to install."""
    path = make(tmp_path / f"v.{extra}", _floats())
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'penstock-http[{extra}]'" in _refused(path)


def test_missing_numpy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that everything here needs."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UsageError, match=r"pip install 'penstock-http\[vectors\]'"):
        importlib.reload(numeric)


def test_fingerprint(tmp_path: Path) -> None:
    """The same for the same content elsewhere; another for another content, size or reading."""
    data = _floats()
    with open_vectors(_raw(tmp_path / "a.bin", data), dim=DIM) as source:
        first = fingerprint(source)
    with open_vectors(_raw(tmp_path / "b.bin", data), dim=DIM) as source:
        assert fingerprint(source) == first
    with open_vectors(tmp_path / "b.bin", dim=DIM // 2) as source:
        assert fingerprint(source) != first
    data[-1, -1] += 1
    with open_vectors(_raw(tmp_path / "b.bin", data), dim=DIM) as source:
        assert fingerprint(source) != first
    assert first["size"] == COUNT * DIM * 4
    assert first["count"] == COUNT


def test_fingerprint_of_a_large_file(tmp_path: Path) -> None:
    """Its first and its last byte are always in the sample."""
    path = tmp_path / "v.bin"
    found = set()
    for change in (None, 0, 64 * 1024 * 1024 - 1):
        with path.open("wb") as file:
            file.truncate(64 * 1024 * 1024)
            if change is not None:
                file.seek(change)
                file.write(b"\1")
        with open_vectors(path, dim=128) as source:
            found.add(fingerprint(source)["sampled_sha256"])
    assert len(found) == 3


def test_fingerprint_of_a_lost_file(tmp_path: Path) -> None:
    """A clear error."""
    path = _raw(tmp_path / "a.bin", _floats())
    with open_vectors(path, dim=DIM) as source:
        path.unlink()
        with pytest.raises(InputError, match="cannot be read"):
            fingerprint(source)


def test_too_many_rows_for_the_scoreboard(tmp_path: Path) -> None:
    """Row numbers have 32 bits; a sparse file shows it."""
    path = tmp_path / "v.bin"
    with path.open("wb") as file:
        file.truncate(2**32)
    assert "at most 4294967294" in _refused(path, dim=1, dtype="uint8")


def test_close_twice(tmp_path: Path) -> None:
    """The second does nothing; reading afterwards is an error."""
    source = open_vectors(_raw(tmp_path / "v.bin", _floats()), dim=DIM)
    source.close()
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1)


def test_repr_is_for_people(tmp_path: Path) -> None:
    """Name, count, dimension and type."""
    with open_vectors(_raw(tmp_path / "v.bin", _floats()), dim=DIM) as source:
        assert repr(source) == "<VectorSource v.bin: 1,000 vectors of 12 float32 (raw: rows of 48 bytes, no header)>"


def test_a_source_needs_no_file_of_ours(tmp_path: Path) -> None:
    """Anything of the shape of Rows will do."""
    rows = FixedRows(_raw(tmp_path / "v.bin", _floats()), Layout("raw", COUNT, DIM, "<f4"))
    with VectorSource(tmp_path / "v.bin", rows) as source:
        assert source.count == COUNT

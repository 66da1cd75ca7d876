"""Which format is this file? By content first, then by extension; what fits two formats is refused.

A raw file read as .fbin is shifted by two numbers, and every answer of the census is then garbage that looks
like a bad index. So a file is taken for a format only where nothing else fits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

from ...errors import InputError, UsageError
from .npy import npy_layout
from .numeric import np
from .raw import RAW_ITEMS, VECS_ITEMS, XBIN_ITEMS, Layout

FORMATS = ("raw", "npy", "fvecs", "bvecs", "fbin", "u8bin", "i8bin", "parquet", "hdf5")
"""What `--format` takes."""

_MAGIC = {b"\x93NUMPY": "npy", b"PAR1": "parquet", b"\x89HDF\r\n\x1a\n": "hdf5"}
_EXTENSIONS = {f".{name}": name for name in FORMATS if name != "raw"} | {
    ".pq": "parquet",
    ".h5": "hdf5",
    ".hdf": "hdf5",
}
_RAW_EXTENSIONS = (".bin", ".f32", ".raw", ".dat")
_TEXT_EXTENSIONS = (
    ".json",
    ".jsonl",
    ".ndjson",
    ".csv",
    ".tsv",
    ".txt",
    ".npz",
    ".zip",
    ".gz",
    ".zst",
    ".pkl",
)
_COMMON_DIMS = (64, 96, 100, 128, 200, 256, 300, 384, 512, 768, 960, 1024, 1536, 2048, 3072)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said about the file; None where nothing was said."""

    format: str | None = None
    dim: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"unknown vector format {self.format!r}: take one of {', '.join(FORMATS)}")
        if self.dim is not None and self.dim < 1:
            raise UsageError(f"--dim must be at least 1, not {self.dim}")
        if self.dtype not in RAW_ITEMS:
            raise UsageError(f"unknown item type {self.dtype!r}: take one of {', '.join(RAW_ITEMS)}")


def detect(file: RawIOBase, path: Path, asked: Asked) -> Layout | str:
    """The layout of a file with rows of equal size, else the name of its format: "parquet" or "hdf5".

    Raises InputError for what fits no format, or several.
    """
    size = file.seek(0, 2)
    if size == 0:
        raise InputError("is empty", path=str(path))
    file.seek(0)
    head = file.read(8) or b""
    name = asked.format or _by_content(head, path, size, asked) or _EXTENSIONS.get(path.suffix.lower())
    if name in ("parquet", "hdf5"):
        _check_magic(name, head, path)
        return name
    if name == "npy":
        _check_magic(name, head, path)
        return _with_dim(npy_layout(file, path, size), asked, path)
    if name in VECS_ITEMS:
        return _with_dim(_vecs(name, head, path, size), asked, path)
    if name in XBIN_ITEMS:
        return _with_dim(_xbin(name, head, path, size), asked, path)
    if name == "raw":
        return _raw(path, size, asked)
    return _unmarked(head, path, size, asked)


def _by_content(head: bytes, path: Path, size: int, asked: Asked) -> str | None:
    name = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    raw_too = path.suffix.lower() in _RAW_EXTENSIONS and asked.dim and size % (asked.dim * _width(asked)) == 0
    if name is not None and raw_too:
        raise InputError(
            f"begins like {name} but also fits raw vectors of dimension {asked.dim}: give --format {name} "
            "or --format raw",
            path=str(path),
        )
    return name


def _check_magic(name: str, head: bytes, path: Path) -> None:
    if not any(head.startswith(magic) for magic, of in _MAGIC.items() if of == name):
        raise InputError(f"is not {name}: it does not begin as such a file must", path=str(path))


def _with_dim(layout: Layout, asked: Asked, path: Path) -> Layout:
    if asked.dim is not None and asked.dim != layout.dim:
        raise InputError(
            f"--dim {asked.dim} was given, but the file says {layout.dim} ({layout.format}): leave --dim out "
            "or give --format",
            path=str(path),
        )
    return layout


def _vecs(name: str, head: bytes, path: Path, size: int) -> Layout:
    dim = struct.unpack("<i", head[:4])[0] if len(head) >= 4 else 0
    if dim < 1:
        raise InputError(f"is not {name}: its first row says dimension {dim}", path=str(path))
    item = VECS_ITEMS[name]
    row = 4 + dim * np.dtype(item).itemsize
    if size % row:
        raise InputError(
            f"is cut off or not {name}: {size} bytes are not a multiple of {row} (dimension {dim} by its first row)",
            path=str(path),
        )
    return Layout(name, size // row, dim, item, prefix=4)


def _xbin_header(head: bytes) -> tuple[int, int]:
    return struct.unpack("<II", head) if len(head) == 8 else (0, 0)


def _xbin(name: str, head: bytes, path: Path, size: int) -> Layout:
    count, dim = _xbin_header(head)
    need = 8 + count * dim * np.dtype(XBIN_ITEMS[name]).itemsize
    if not count or not dim or size != need:
        raise InputError(
            f"is cut off or not {name}: its header says {count} vectors of dimension {dim}, which "
            f"takes {need} bytes, and it has {size}",
            path=str(path),
        )
    return Layout(name, count, dim, XBIN_ITEMS[name], 8)


def _width(asked: Asked) -> int:
    return np.dtype(asked.dtype).itemsize


def _raw(path: Path, size: int, asked: Asked) -> Layout:
    if asked.dim is None:
        raise InputError(f"raw vectors do not say their dimension: give --dim N{_guess(size, asked)}", path=str(path))
    row = asked.dim * _width(asked)
    if size % row:
        raise InputError(
            f"{size} bytes are not a multiple of {row} ({asked.dim} x {asked.dtype}), {size % row} are left "
            f"over: the file is cut off or --dim is wrong{_guess(size, asked)}",
            path=str(path),
        )
    return Layout("raw", size // row, asked.dim, np.dtype(asked.dtype).newbyteorder("<").str)


def _guess(size: int, asked: Asked) -> str:
    fits = [str(dim) for dim in _COMMON_DIMS if size % (dim * _width(asked)) == 0]
    return f" (common ones that fit {size} bytes: {', '.join(fits)})" if fits else ""


def _unmarked(head: bytes, path: Path, size: int, asked: Asked) -> Layout:
    """A file that neither its content nor its extension names: raw, or .fbin and kin under the name .bin."""
    suffix = path.suffix.lower()
    if suffix == ".ivecs":
        raise InputError("holds the ids of neighbours (.ivecs), not vectors", path=str(path))
    if suffix in _TEXT_EXTENSIONS:
        raise InputError(f"is not a file of vectors as known here ({', '.join(FORMATS)})", path=str(path))
    count, dim = _xbin_header(head)
    fits = [
        name for name, item in XBIN_ITEMS.items() if count and dim and size == 8 + count * dim * np.dtype(item).itemsize
    ]
    # Any file of the right length "fits" raw once a dimension is given, so two readings are possible.
    if asked.dim is not None and size % (asked.dim * _width(asked)) == 0:
        fits.append("raw")
    elif not fits:
        return _raw(path, size, asked)
    if len(fits) > 1:
        choices = " or ".join(f"--format {name}" for name in fits)
        raise InputError(
            f"can be read in {len(fits)} ways (a header for {count} vectors of dimension {dim} fits its "
            f"size): give {choices}",
            path=str(path),
        )
    if fits == ["raw"]:
        return _raw(path, size, asked)
    return _with_dim(_xbin(fits[0], head, path, size), asked, path)

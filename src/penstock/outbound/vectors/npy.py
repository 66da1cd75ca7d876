"""The header of a .npy file (numpy.lib.format, versions 1 to 3): where its rows are, or why it is refused."""

from __future__ import annotations

import math
import tokenize
from io import RawIOBase
from pathlib import Path

from ...errors import InputError
from .numeric import np
from .raw import RAW_ITEMS, Layout


def npy_layout(file: RawIOBase, path: Path, size: int) -> Layout:
    """The layout of a 2-D array in C order. Raises InputError for anything else; never unpickles."""
    shape, fortran, item = _header(file, path)
    if item.hasobject:
        raise InputError("holds Python objects, which would have to be unpickled; save numbers", path=str(path))
    if item.newbyteorder("=").name not in RAW_ITEMS or item.fields is not None:
        raise InputError(
            f"holds {item.name}; convert it to float32 (numpy.save(path, array.astype('float32')))",
            path=str(path),
        )
    if len(shape) != 2:
        raise InputError(f"has the shape {shape}; wanted is (number of vectors, dimension)", path=str(path))
    # A single row or column is laid out the same either way, but numpy marks those as C order itself.
    if fortran and min(shape) > 1:
        raise InputError(
            "is in Fortran order, so that its vectors do not lie in one piece; save it again with "
            "numpy.save(path, numpy.ascontiguousarray(array))",
            path=str(path),
        )
    skip = file.tell()
    need = skip + math.prod(shape) * item.itemsize
    if size < need:
        raise InputError(f"is cut off: its header says {need} bytes, it has {size}", path=str(path))
    return Layout("npy", shape[0], shape[1], item.str, skip)


def _header(file: RawIOBase, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
            # Version 3 differs from 2 only in the encoding of field names, and fields are refused.
            (3, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
        shape, fortran, item = read(file)
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"its .npy header cannot be read: {reason}", path=str(path)) from error
    return shape, fortran, item

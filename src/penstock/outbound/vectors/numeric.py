"""numpy, imported in one place, with an error that names the extra."""

from __future__ import annotations

from typing import Any, TypeAlias

from ...errors import UsageError
from ...extras import how_to_install

try:
    import numpy as np
    import numpy.typing as npt
except ImportError as missing:
    raise UsageError(f"vectors need numpy: {how_to_install('vectors')}") from missing

__all__ = ["Array", "np"]

Array: TypeAlias = "npt.NDArray[Any]"
"""Any numpy array; shape and item type are said where it is used."""

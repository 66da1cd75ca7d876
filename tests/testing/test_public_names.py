"""`penstock.testing` offers what it lists, and loads no more than is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import penstock.testing as module


def test_every_name_listed_can_be_reached() -> None:
    assert dir(module) == sorted(dir(module))
    assert set(module.__all__) == set(module._HOME_OF)
    for name in module.__all__:
        assert getattr(module, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


@pytest.mark.slow
@pytest.mark.real
def test_numpy_is_loaded_only_where_it_is_needed() -> None:
    code = (
        "import sys, penstock.testing as t\n"
        "[getattr(t, name) for name in t.__all__]\n"
        "assert 'numpy' not in sys.modules\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

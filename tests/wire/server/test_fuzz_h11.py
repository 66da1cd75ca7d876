"""The reader against h11, an independent one: nothing it takes may be read differently elsewhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from .fuzz_h11 import BITS, SEEDS, difference, run


def test_seeded_mutations() -> None:
    taken, differences = run(3_000, 7)
    assert differences == []
    assert taken > 1_000


@given(st.lists(st.sampled_from(SEEDS + BITS), max_size=6), st.binary(max_size=8), st.integers(0, 200))
def test_any_mixture(parts: list[bytes], noise: bytes, at: int) -> None:
    data = b"".join(parts)
    assert difference(data[:at] + noise + data[at:]) is None

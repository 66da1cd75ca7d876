"""Hit-for-miss in the engine, as the proxy has it: one wave waits, the next ones do not."""

from __future__ import annotations

import pytest

from penstock.testing import run_virtual

from .fakes import FRESH, Bench

TAGS = ("cache-tag", ",".join(map(str, range(200))))
CASES = {
    "too large": ([FRESH], 5_000),
    "a stream of events": ([FRESH, ("content-type", "text/event-stream; charset=utf-8")], 5),
    "too many tags": ([FRESH, TAGS], 5),
}


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize(("fields", "size"), CASES.values(), ids=CASES)
def test_a_refusal_is_not_forgotten_by_what_is_refused_again(
    fields: list[tuple[str, str]], size: int, sized: bool
) -> None:
    """Also where only the end of the body shows that it is too large."""

    async def main() -> None:
        bench = Bench(max_object=1_000)
        words = []
        for number in range(6):
            reply = bench.send()
            bench.origin[number].head(*fields, length=size if sized else None).body(b"x" * size)
            await bench.turn()
            bench.origin[number].end()
            words.append(reply.cache_status.partition(b"; detail=")[0].removesuffix(b"; stored"))
        assert words == [b"penstock; fwd=uri-miss"] + [b"penstock; fwd=miss"] * 5
        bench.at_rest()

    run_virtual(main())

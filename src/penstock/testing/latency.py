"""How long an answer takes: distributions in seconds, drawn from a seeded generator."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of seconds. `longest` cuts it off; `draw` takes the generator to draw from."""

    text: str
    draw: Callable[[random.Random], float]
    longest: float = math.inf

    def sampler(self, seed: int) -> Callable[[], float]:
        """Return a function that gives the next latency; the same seed gives the same row of them."""
        generator = random.Random(seed)
        draw, longest = self.draw, self.longest
        return lambda: max(0.0, min(draw(generator), longest))

    @property
    def is_zero(self) -> bool:
        """Whether every answer comes at once."""
        return self.text == "constant:0"

    def __str__(self) -> str:
        return self.text


def constant(seconds: float) -> Latency:
    """Return the latency that is always `seconds`."""
    _not_negative(seconds)
    return Latency(f"constant:{seconds:g}", lambda _: seconds)


def uniform(low: float, high: float) -> Latency:
    """Return latencies spread evenly over `low` to `high` seconds."""
    _not_negative(low, high)
    if high < low:
        raise ValueError(f"the highest latency, {high}, is below the lowest, {low}")
    return Latency(f"uniform:{low:g}:{high:g}", lambda generator: generator.uniform(low, high))


def lognormal(median: float, sigma: float = 0.5, *, longest: float = math.inf) -> Latency:
    """Return latencies of which half are above `median` seconds, with a long tail as `sigma` grows."""
    _not_negative(median, sigma, longest)
    if median == 0:
        raise ValueError("a lognormal latency must have a median above 0")
    mu = math.log(median)
    return Latency(f"lognormal:{median:g}:{sigma:g}", lambda rng: rng.lognormvariate(mu, sigma), longest)


def exponential(mean: float, *, longest: float = math.inf) -> Latency:
    """Return memoryless latencies of `mean` seconds on average."""
    _not_negative(mean, longest)
    if mean == 0:
        raise ValueError("an exponential latency must have a mean above 0")
    return Latency(f"exponential:{mean:g}", lambda rng: rng.expovariate(1 / mean), longest)


_KINDS: dict[str, tuple[Callable[..., Latency], int, int]] = {
    "constant": (constant, 1, 1),
    "uniform": (uniform, 2, 2),
    "lognormal": (lognormal, 1, 2),
    "exponential": (exponential, 1, 1),
}


def parse_latency(text: str) -> Latency:
    """Read `0.2`, `constant:0.2`, `uniform:8:30`, `lognormal:0.1:0.5` or `exponential:0.3` (seconds).

    Raises ValueError for anything else.
    """
    kind, *rest = text.split(":") if ":" in text else ("constant", text)
    try:
        make, fewest, most = _KINDS[kind]
        numbers = [float(part) for part in rest]
    except (KeyError, ValueError) as error:
        raise ValueError(f"cannot read the latency {text!r}: write uniform:8:30 or constant:0.2") from error
    if not fewest <= len(numbers) <= most:
        raise ValueError(f"a latency of kind {kind} takes {fewest} to {most} numbers, {text!r} has {len(rest)}")
    return make(*numbers)


def _not_negative(*numbers: float) -> None:
    for number in numbers:
        if not number >= 0:
            raise ValueError(f"a latency is a number of seconds from 0 up, not {number}")

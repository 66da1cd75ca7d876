"""Test code that moves HTTP traffic, without waiting and without luck.

Time: `run_virtual` plays an hour in milliseconds. Peers: `ScriptedCall`, `SimulatedApi` and servers that can take only
so much (`RateServer`, `WorkerServer`, `SharingServer`) in this process, `FaultServer` behind a real port, and on it
`PagedApi`, whose pages can be pulled. Judges: `most_in_any_window` for limits, `cancel_everywhere` for clean endings,
`FaultPlan.predict` and `Oracle.predict` for tables of outcomes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arrivals import ArrivalsLog, read_arrivals
    from .cancellation_points import CancelReport, cancel_everywhere
    from .fault_answers import Reply
    from .fault_server import FaultServer
    from .fault_service import ServedRequest, ServerStatistics
    from .faults import FaultPlan, item_identity
    from .latency import Latency, constant, exponential, lognormal, parse_latency, uniform
    from .limiters import FixedWindow, Gcra, Limiter, SlidingLog, make_limiter, most_in_any_window
    from .manual_clock import ManualClock
    from .oracle import PLANTS, Oracle, Planted
    from .paged_api import PagedApi
    from .scripted_call import After, Hang, Recorded, ScriptedCall, ScriptExhausted
    from .search_shapes import SHAPES, SearchShape
    from .simulated_api import SimulatedApi
    from .simulated_capacity import RateServer, SharingServer, SimulatedServer, WorkerServer, rate_between
    from .vector_file import write_vectors
    from .virtual_loop import Deadlock, VirtualClock, VirtualTimeLoop, run_virtual

# Loaded on first use: a test of a rule should not import a server, and `python -m` needs to come first.
_HOMES = {
    "arrivals": ["ArrivalsLog", "read_arrivals"],
    "cancellation_points": ["CancelReport", "cancel_everywhere"],
    "fault_answers": ["Reply"],
    "fault_server": ["FaultServer"],
    "fault_service": ["ServedRequest", "ServerStatistics"],
    "faults": ["FaultPlan", "item_identity"],
    "latency": ["Latency", "constant", "exponential", "lognormal", "parse_latency", "uniform"],
    "limiters": ["FixedWindow", "Gcra", "Limiter", "SlidingLog", "make_limiter", "most_in_any_window"],
    "manual_clock": ["ManualClock"],
    "oracle": ["PLANTS", "Oracle", "Planted"],
    "paged_api": ["PagedApi"],
    "scripted_call": ["After", "Hang", "Recorded", "ScriptExhausted", "ScriptedCall"],
    "search_shapes": ["SHAPES", "SearchShape"],
    "simulated_api": ["SimulatedApi"],
    "simulated_capacity": ["RateServer", "SharingServer", "SimulatedServer", "WorkerServer", "rate_between"],
    "vector_file": ["write_vectors"],
    "virtual_loop": ["Deadlock", "VirtualClock", "VirtualTimeLoop", "run_virtual"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PLANTS",
    "SHAPES",
    "After",
    "ArrivalsLog",
    "CancelReport",
    "Deadlock",
    "FaultPlan",
    "FaultServer",
    "FixedWindow",
    "Gcra",
    "Hang",
    "Latency",
    "Limiter",
    "ManualClock",
    "Oracle",
    "PagedApi",
    "Planted",
    "RateServer",
    "Recorded",
    "Reply",
    "ScriptExhausted",
    "ScriptedCall",
    "SearchShape",
    "ServedRequest",
    "ServerStatistics",
    "SharingServer",
    "SimulatedApi",
    "SimulatedServer",
    "SlidingLog",
    "VirtualClock",
    "VirtualTimeLoop",
    "WorkerServer",
    "cancel_everywhere",
    "constant",
    "exponential",
    "item_identity",
    "lognormal",
    "make_limiter",
    "most_in_any_window",
    "parse_latency",
    "rate_between",
    "read_arrivals",
    "run_virtual",
    "uniform",
    "write_vectors",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

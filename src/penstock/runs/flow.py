"""How much flows, and how patiently: the options that all commands of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..engine.costs import CostEstimate
from ..engine.settings import EngineSettings
from ..errors import UsageError
from ..rules.limits.cost import CostWindow
from ..rules.limits.rate import Limit
from ..rules.retries.denied import USUAL
from ..rules.retries.verdict import RetryOn


@dataclass(frozen=True, slots=True)
class Flow(EngineSettings):
    """How much flows, and how patiently: what the engine is told, and what it does not need to know. Sizes in bytes.

    `limits` hold in every window; with `limit_auto` they are what the server tells, and may also rise with it.
    `limit_by` gives each host, or each value of a field, limits of its own. `cost_limits` bound the sum of costs:
    `cost` (a number, or the field that holds it) is the estimate, `cost_actual` (JMESPath) finds the real one in the
    answer. `forget_pause` drops what an earlier session was told to wait for. `deadline_header` names the header that
    tells the peer how long its answer is waited for. `command` is what the user typed, without its secrets.

    No program watches a run of a command, so it stops by itself where the credential is dead (`stop_after_denied`).
    """

    limits: tuple[Limit, ...] = ()
    limit_auto: bool = False
    limit_headers: Literal["tighten", "ignore"] = "tighten"
    limit_by: str | None = None
    cost_limits: tuple[Limit, ...] = ()
    cost: str | None = None
    cost_actual: str | None = None
    connect_timeout: float = 10.0
    retry_on: RetryOn = RetryOn.SAFE
    deadline_header: str | None = None
    guard: float | None = None
    max_response_bytes: int = 64 << 20
    follow_redirects: int = 0
    ca_file: Path | None = None
    proxy: str | None = None
    keep_alive: bool = True
    stop_after_denied: int = USUAL
    forget_pause: bool = False
    command: tuple[str, ...] = ()


def check_flow(flow: Flow) -> None:
    """Raises UsageError for numbers that make no sense together."""
    if flow.max_attempts < 1:
        raise UsageError(f"--attempts must be at least 1, not {flow.max_attempts}")
    if isinstance(flow.in_flight, int) and flow.in_flight < 1:
        raise UsageError(f"--in-flight must be auto or at least 1, not {flow.in_flight}")
    if flow.limit_auto and flow.limit_headers == "ignore":
        raise UsageError("--limit auto is what the server tells; it does not go with --limit-headers ignore")
    _check_costs(flow)
    if flow.limit_by is not None:
        _check_keys(flow)


def _check_keys(flow: Flow) -> None:
    if not flow.limits:
        raise UsageError("--limit-by says for whom each --limit holds; it needs one")
    others = {
        "--limit auto": flow.limit_auto,
        "--cost-limit": bool(flow.cost_limits),
        "--hedge": flow.hedge is not None,
        "--follow-redirects": flow.follow_redirects > 0,
        "a --limit with a name": any(limit.name for limit in flow.limits),
    }
    for other, given in others.items():
        if given:
            raise UsageError(f"--limit-by does not go with {other}, which would be for all keys together")


def _check_costs(flow: Flow) -> None:
    if not flow.cost_limits:
        if flow.cost is not None or flow.cost_actual is not None:
            raise UsageError("--cost and --cost-actual say what a call costs; without --cost-limit they are of no use")
        return
    if flow.cost is None:
        raise UsageError("--cost-limit needs --cost: what one call costs, or the field that says so")
    if flow.hedge is not None:
        raise UsageError("--hedge does not go with --cost-limit: second calls would cost, too")
    estimate = CostEstimate(flow.cost)
    for limit in flow.cost_limits:
        if limit.name:
            raise UsageError(f"--cost-limit {limit}: limits on costs cannot be shared by name")
        if estimate.fixed is not None:
            CostWindow(limit).earliest(estimate.fixed)

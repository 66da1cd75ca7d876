"""`@penstock.arms(...)`: several implementations of a route, of which each request gets one."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from ..adapters.forks import tell_after_fork
from ..clock import SYSTEM_CLOCK
from ..errors import UsageError
from ..rules.moving.state import BROKEN, CONTROL
from . import carry
from .busy import refuse
from .ceiling import Ceiling, CeilingReached, LeftWaiting
from .choice import ArmChoice
from .counting import Counting
from .hosts import parameter_of_fastapi
from .keys import Key, KeyReader
from .parameters import check_callable, check_parameters, is_async
from .row import MOST_OF_NAME
from .serving import SERVING
from .steps import stepwise
from .table import register, tally_of
from .tally import ArmTally
from .threads import in_thread
from .under_way import UNDER_WAY, UnderWay
from .watch import WATCH

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])
PATIENCE = 5.0
"""Seconds that a thread of a host without an event loop waits for a place: it serves nobody else meanwhile."""
REQUEST = "penstock_request"
"""The parameter that FastAPI fills in with the request."""


class Armed(Protocol[P, R_co]):
    """A route with arms: what `penstock.arms` makes of a function, to be given to the framework."""

    control: Callable[P, Any]
    """The function as it was, to be called straight."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Serve a request by the arm that it gets."""
        ...

    def __get__(self, instance: object, owner: Any = None) -> Any:
        """A method has arms as a function has them."""
        ...

    def arm(self, name: str) -> Callable[[F], F]:
        """Decorator of another implementation, sync or async, with the same parameters. It stays what it is."""
        ...


def arms(
    route: str,
    *,
    key: Key | None = None,
    max_in_flight: int | None = None,
    max_waiting: int = 0,
    wsgi: bool = False,
) -> Callable[[Callable[P, Any]], Armed[P, Any]]:
    """Give a route several implementations: `@app.get("/q/{id}")`, and under it `@penstock.arms("GET /q/{id}")`.

    The function below is the control. `@quote.arm("async")` on another one with the same parameters adds an arm. Which
    of them serves is said by the state file (`$PENSTOCK_ARMS`, else `arms.json`), which `penstock move roll` writes;
    without one, the control. `$PENSTOCK_ARM` names an arm for a whole process.

    - `route` names it in the state, in metrics and logs; two functions cannot share one.
    - `key` tells users apart where a part of the requests is moved: the name of a request header, or a function from
      the framework's request to a string. The same key gets the same arm on every worker, no key the control.
    - `max_in_flight` requests may be in arms other than the control, in this process, with the middleware until their
      last byte; `max_waiting` more wait in order. What comes then is refused with ArmsBusy: 503 with `Retry-After`. It
      has to be given with an async arm, which no pool of threads bounds.
    - `wsgi=True` makes a plain function, for hosts without an event loop: Flask, Django under WSGI. Async arms may be
      there and do not serve: the control does. What waits for a place does so in a thread of the host, 5 s at most.

    Else the route becomes an `async def`. Sync arms, the control too, go through the framework's pool of threads, and
    context variables that they set are set for the middleware around them. Raises UsageError at import for a name that
    is taken, other parameters, a function that yields, and an async arm without `max_in_flight`.
    """
    if not isinstance(route, str) or not route.strip():
        raise UsageError(f"{route!r} names no route; write one such as 'GET /quote/{{id}}'")
    if max_waiting and max_in_flight is None:
        raise UsageError(f"max_waiting says nothing without max_in_flight, for which those of {route} would wait")

    def decorate(control: Callable[P, Any]) -> Armed[P, Any]:
        check_callable(route, CONTROL, control)
        ceiling = None if max_in_flight is None else Ceiling(max_in_flight, max_waiting)
        armed = _Route(route, control, KeyReader(route, key), ceiling, wsgi=wsgi)
        register(armed)
        wrapper = _plain(armed) if wsgi else _awaited(armed)
        return cast("Armed[P, Any]", wrapper)

    return decorate


@dataclass(slots=True)
class _Arm:
    name: str
    function: Callable[..., Any]
    is_async: bool


class _Route(Generic[P]):
    """The arms of one route, and the way of a request through one of them."""

    def __init__(
        self, name: str, control: Callable[P, Any], key: KeyReader, ceiling: Ceiling | None, *, wsgi: bool
    ) -> None:
        if wsgi and is_async(control):
            raise UsageError(
                f"the control of {name} is async, and with wsgi=True there is no event loop: leave that out"
            )
        self.name = name
        self.control = control
        self.key = key
        self._ceiling = ceiling
        self._wsgi = wsgi
        self._arms = {CONTROL: _Arm(CONTROL, control, is_async(control))}
        self._servable = {CONTROL}
        self._tallies: dict[str, ArmTally] = {}
        self._choice = ArmChoice(name, self._servable, lambda: self._tally(CONTROL).without_key())
        self._own_request = parameter_of_fastapi(control) or REQUEST
        tell_after_fork(self)

    @property
    def takes_request(self) -> bool:
        """Whether FastAPI gives the control its request, as a parameter of the user's own."""
        return self._own_request != REQUEST

    @property
    def wsgi(self) -> bool:
        """Whether it is served without an event loop."""
        return self._wsgi

    @property
    def arm_names(self) -> list[str]:
        """The control first."""
        return list(self._arms)

    def after_fork(self) -> None:
        """Counts and places are those of the parent."""
        self._tallies = {}
        if self._ceiling is not None:
            self._ceiling.after_fork()

    def add(self, name: str) -> Callable[[F], F]:
        """The decorator `arm`."""
        if not isinstance(name, str) or not name.strip() or len(name.encode("utf-8", "surrogatepass")) > MOST_OF_NAME:
            raise UsageError(
                f"{name!r} is no name of an arm of {self.name}; one such as 'async' is, up to {MOST_OF_NAME} bytes"
            )
        if name == BROKEN:
            raise UsageError(f"{BROKEN!r} is no arm of {self.name}, but what `pytest --penstock-arm` breaks all by")
        if name in self._arms:
            what = "is what the function under penstock.arms is called" if name == CONTROL else "is there already"
            raise UsageError(f"the arm {name!r} of {self.name} {what}; choose another name")

        def decorate(function: F) -> F:
            check_callable(self.name, name, function)
            check_parameters(self.name, name, self.control, function)
            arm = _Arm(name, function, is_async(function))
            if arm.is_async and self._ceiling is None and not self._wsgi:
                raise UsageError(
                    f"the arm {name!r} of {self.name} is async, so no pool of threads bounds it: give penstock.arms "
                    "max_in_flight=, the most requests that may be in it at once, and max_waiting="
                )
            self._arms[name] = arm
            if not (self._wsgi and arm.is_async):
                self._servable.add(name)
            return function

        return decorate

    async def serve(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """One request, on an event loop."""
        if not WATCH.started:
            SERVING.begin()
            await WATCH.start_aside()
        request = named.pop(REQUEST, None) if self._own_request == REQUEST else named.get(self._own_request)
        arm = self._arms[self._choice.arm(lambda: self.key.read(request, arguments, named))]
        if self._ceiling is None or arm.name == CONTROL or _has_place(self._ceiling):
            return await self._counted(arm, SYSTEM_CLOCK.now(), arguments, named)
        began, answers = SYSTEM_CLOCK.now(), _to_answer()
        refused = await self._enter(self._ceiling, arm, UNDER_WAY.get())
        if refused is not None:
            return refuse(self.name, refused, arguments, named)
        try:
            return await self._counted(arm, began, arguments, named)
        finally:
            _leave(self._ceiling, answers)

    async def _enter(self, ceiling: Ceiling, arm: _Arm, request: UnderWay | None) -> str | None:
        """None with a place, else why there is none."""
        try:
            await ceiling.enter(None if request is None or request.ended else request.gone)
        except CeilingReached:
            self._tally(arm.name).refuse()
            return str(ceiling)
        except LeftWaiting:
            # Nobody will read the answer.
            return "the client left while it waited"
        return None

    async def _counted(self, arm: _Arm, began: float, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        tally = self._tally(arm.name)
        request = UNDER_WAY.get()
        if request is not None and request.take(tally):
            return await _run(arm, tally, arguments, named)
        with Counting(tally, began) as counting:
            answer = await _run(arm, tally, arguments, named)
            counting.answered(answer)
            return answer

    def serve_plainly(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """One request, without an event loop."""
        if not WATCH.started:
            SERVING.begin()
            WATCH.start()
        arm = self._arms[self._choice.arm(lambda: self.key.read(None, arguments, named))]
        if self._ceiling is None or arm.name == CONTROL or _has_place(self._ceiling):
            return self._counted_plainly(arm, SYSTEM_CLOCK.now(), arguments, named)
        began, answers = SYSTEM_CLOCK.now(), _to_answer()
        try:
            self._ceiling.enter_in_thread(PATIENCE)
        except CeilingReached:
            self._tally(arm.name).refuse()
            return refuse(self.name, str(self._ceiling), arguments, named)
        try:
            return self._counted_plainly(arm, began, arguments, named)
        finally:
            _leave(self._ceiling, answers)

    def _counted_plainly(self, arm: _Arm, began: float, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        tally = self._tally(arm.name)
        request = UNDER_WAY.get()
        if request is not None and request.take(tally):
            return _run_here(arm, tally, arguments, named)
        with Counting(tally, began) as counting:
            answer = _run_here(arm, tally, arguments, named)
            counting.answered(answer)
            return answer

    def _tally(self, arm: str) -> ArmTally:
        found = self._tallies.get(arm)
        if found is None:
            # All at once, so that who looks from outside knows of those that have had no request, too: who rolls out an
            # arm that cannot serve here is told so.
            self._tallies = {each: tally_of(self.name, each) for each in self._arms if each in self._servable}
            found = self._tallies[arm]
        return found


def _to_answer() -> UnderWay | None:
    """The request that this call is to answer. None: it is a call from within an arm, or after the answer."""
    request = UNDER_WAY.get()
    return request if request is not None and request.route is None else None


def _has_place(ceiling: Ceiling) -> bool:
    """Whether the request keeps a place until its end: it would wait for itself if it wanted another one."""
    request = UNDER_WAY.get()
    return request is not None and request.holds(ceiling.leave)


def _leave(ceiling: Ceiling, request: UnderWay | None) -> None:
    # What the arm has returned may be a stream that goes on for long.
    if request is None or not request.hold(ceiling.leave):
        ceiling.leave()


async def _run(arm: _Arm, tally: ArmTally, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    check = carry.enter(tally.route, tally.arm)
    try:
        if arm.is_async:
            return await stepwise(arm.function(*arguments, **named), tally, check=carry.for_steps(check))
        answer = await in_thread(carry.in_its_thread(check, arm.function), arguments, named)
        # A decorator that is no coroutine function hides that what it decorates is one.
        return await stepwise(answer, tally, check=carry.for_steps(check)) if inspect.iscoroutine(answer) else answer
    finally:
        carry.leave(check)


def _run_here(arm: _Arm, tally: ArmTally, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    check = carry.enter(tally.route, tally.arm)
    try:
        return arm.function(*arguments, **named)
    finally:
        carry.leave(check)


def _awaited(route: _Route[P]) -> Callable[P, Any]:
    @functools.wraps(route.control)
    async def wrapper(*arguments: Any, **named: Any) -> Any:
        return await route.serve(arguments, named)

    return _finished(wrapper, route)


def _plain(route: _Route[P]) -> Callable[P, Any]:
    @functools.wraps(route.control)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return route.serve_plainly(arguments, named)

    return _finished(wrapper, route)


def _finished(wrapper: Any, route: _Route[P]) -> Callable[P, Any]:
    wrapper.control = route.control
    wrapper.arm = route.add
    fastapi = sys.modules.get("fastapi")
    # FastAPI gives the request to one parameter: a second of its type would take it from the one of the route.
    if fastapi is not None and route.key.wanted and is_async(wrapper) and not route.takes_request:
        wrapper.__signature__ = _with_request(inspect.signature(route.control), fastapi.Request)
    return cast("Callable[P, Any]", wrapper)


def _with_request(signature: inspect.Signature, kind: Any) -> inspect.Signature:
    """FastAPI gives the request to who has a parameter of its type, which no document of it shows."""
    extra = inspect.Parameter(REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    there = list(signature.parameters.values())
    at = len(there) - (bool(there) and there[-1].kind is inspect.Parameter.VAR_KEYWORD)
    return signature.replace(parameters=[*there[:at], extra, *there[at:]])

"""What makes the calls of an Http on one event loop: a client and the layers around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..answers.rules import AnswerRules
from ..call import PlainCall
from ..clock import current_clock
from ..errors import PenstockError, StatusError
from ..layers.deadline import DeadlineHeader
from ..messages import Request, Response
from ..rules.retries.retry import RetryPolicy
from ..stacks import request_stack
from .permits import Permits
from .permitted_send import PermittedSend
from .settings import HttpSettings

T = TypeVar("T")


class LoopEngine:
    """Makes calls on the loop that runs when it is made; `aclose` is called there as well."""

    def __init__(self, settings: HttpSettings, permits: Permits) -> None:
        self.client = settings.client(
            follow_redirects=settings.follow_redirects,
            before_redirect=permits.acquire,
            max_response_bytes=settings.max_response_bytes,
            tls=settings.tls,
        )
        # Any async callable will do, such as the fake of a test.
        call = PlainCall[Request, Response](self.client)
        self._close_client: Callable[[], Awaitable[None]] | None = getattr(self.client, "aclose", None)
        clock = current_clock()
        answers = AnswerRules(settings, quotas=settings.limit_headers == "tighten")
        answers.clock = clock
        named = settings.deadline_header
        self._send = PermittedSend(
            call if named is None else DeadlineHeader(call, named),
            permits,
            answers,
            clock,
            timeout=settings.attempt_timeout,
            cost=settings.estimate,
            actual_cost=settings.actual_cost,
        )
        self._call = request_stack(
            self._send,
            settings.retry_on,
            max_in_flight=settings.max_in_flight,
            total_timeout=settings.total_timeout,
            policy=RetryPolicy(max_attempts=settings.max_attempts, total_timeout=settings.total_timeout),
        )
        self._max_in_flight = settings.max_in_flight
        self._from_threads: set[asyncio.Task[Any]] = set()
        self._end = self._until_the_loop_ends()
        self.counters = self._send.counters

    async def open(self) -> None:
        """Before the first call."""
        # A loop that comes to its end closes the generators that began on it, and with this one the connections.
        await anext(self._end)

    async def call(self, request: Request) -> Response:
        """The last answer to `request`, whatever its status. Raises CallError and TotalTimeout."""
        self.counters.calls += 1
        try:
            return await self._call(request)
        except StatusError as error:
            response: Response | None = error.response
            if response is None:
                raise
            return response

    async def gather(self, requests: Sequence[Request], *, return_errors: bool) -> list[Any]:
        """The answers, in the order of the requests. The first error ends all, or else is an answer."""
        answers: list[Any] = [None] * len(requests)
        numbered = iter(enumerate(requests))

        async def work() -> None:
            for position, request in numbered:
                try:
                    answers[position] = await self.call(request)
                except PenstockError as error:
                    if not return_errors:
                        raise
                    answers[position] = error

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(len(requests), self._max_in_flight)):
                    tasks.create_task(work())
        except BaseExceptionGroup as group:
            # Those that it cancelled are not among them.
            raise group.exceptions[0] from None
        return answers

    async def from_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """`work`, which is cancelled by `aclose`: its thread waits for nothing else."""
        task = asyncio.current_task()
        assert task is not None
        self._from_threads.add(task)
        try:
            return await work
        finally:
            self._from_threads.discard(task)

    async def aclose(self) -> None:
        """End all calls and close all connections."""
        tasks = list(self._from_threads)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._end.aclose()

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._send.close()
            if self._close_client is not None:
                await self._close_client()

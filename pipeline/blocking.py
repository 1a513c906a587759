"""How a call that blocks is made: in a worker thread, or inline where time is virtual.

A thread under a virtual clock would let hours pass while it works; so the composition root decides, and everything
in a run that touches the disk is handed one of these. A verb that only reads and writes here is a thread's as a whole.
"""

import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Protocol):
    """Makes the call and returns what it returns. Once begun, the call is never abandoned."""

    async def __call__(self, call: Callable[[], T]) -> T: ...


async def inline(call: Callable[[], T]) -> T:
    """Make the call here and now."""
    return call()


def in_threads(count: int) -> Blocking:
    """Return a Blocking that uses at most ``count`` worker threads of its own. Call it inside the running loop."""
    limiter = anyio.CapacityLimiter(count)

    async def in_thread(call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=limiter)

    return in_thread


class Left(BaseException):
    """Whoever waited for this call has gone."""


_LEFT: ContextVar[threading.Event | None] = ContextVar("left", default=None)


def in_a_thread(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make an async function of one that blocks: each call is made in a worker thread.

    Who cancels it does not wait for it: it ends at its next ``checkpoint``, and tidies up as after any error.
    """

    @wraps(work)
    async def made(*args: P.args, **kwargs: P.kwargs) -> T:
        left = threading.Event()

        def call() -> T:
            _LEFT.set(left)
            return work(*args, **kwargs)

        try:
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        finally:
            left.set()

    return made


def checkpoint() -> None:
    """Raise Left where nobody waits for this call any more."""
    left = _LEFT.get()
    if left is not None and left.is_set():
        raise Left

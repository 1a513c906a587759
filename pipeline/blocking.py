"""How a call that blocks on the disk is made: in a worker thread, or inline where time is virtual.

A thread under a virtual clock would let hours pass while it works; so the composition root decides, and everything
that touches the disk is handed one of these.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

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

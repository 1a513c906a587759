"""Where the bytes of a finished video come from: the same ones every time.

Encoders do not repeat themselves, so what was made once is kept. Pillow and PyAV are imported when a footage is made.
"""

from functools import partial
from typing import Protocol

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import RunVar

from pipeline.errors import UsageError
from pipeline.simulator.store import Record
from pipeline.simulator.studio.orders import Order, Studio

ENCODERS = 2
"""Videos that are rendered at the same time: more would only make all of them late."""

_limiter: RunVar[anyio.CapacityLimiter] = RunVar("simulator_encoders")


class Footage(Protocol):
    """Gives the MP4 of a completed video."""

    async def __call__(self, video: Record) -> bytes: ...


class Shelf(Protocol):
    """Keeps bytes under a name. ``keep`` returns what it then has: the first bytes win."""

    def clip(self, name: str) -> bytes | None: ...
    def keep(self, name: str, data: bytes) -> bytes: ...


class RealFootage:
    """Renders every video for itself, with its prompt in the picture, and keeps it: about half a megabyte each.

    Works in threads, so it is not for virtual time, which runs ahead of them.
    """

    def __init__(self, shelf: Shelf) -> None:
        """Raises UsageError where Pillow or PyAV is missing."""
        self._shelf, self._studio = shelf, _studio()

    async def __call__(self, video: Record) -> bytes:
        kept = self._shelf.clip(video.id)
        if kept is not None:
            return kept
        order = Order(video.id, video.prompt, video.model, _pixels(video.size), int(video.seconds))
        work = partial(self._studio.shoot, order, anyio.from_thread.check_cancelled)
        return self._shelf.keep(video.id, await anyio.to_thread.run_sync(work, limiter=_encoders()))


class StockFootage:
    """One still for each size and length; an empty box with the id at its end makes each video's bytes its own.

    Keeps the stills only, and never waits: for virtual time, and for campaigns of many thousands.
    """

    def __init__(self, shelf: Shelf) -> None:
        """Raises UsageError where Pillow or PyAV is missing."""
        self._shelf, self._studio = shelf, _studio()

    async def __call__(self, video: Record) -> bytes:
        name = f"stock {video.size} {video.seconds}"
        still = self._shelf.clip(name)
        if still is None:
            still = self._shelf.keep(name, self._studio.stock(_pixels(video.size), int(video.seconds)))
        mark = video.id.encode()
        return still + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark


def _studio() -> Studio:
    try:
        from pipeline.simulator.studio import shooting  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(f'{error}: the simulator needs pip install "callsheet[simulator]"') from error
    return shooting


def _pixels(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)


def _encoders() -> anyio.CapacityLimiter:
    """Return the event loop's own limiter: none can be shared by two loops."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(ENCODERS)
        _limiter.set(limiter)
    return limiter

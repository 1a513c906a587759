"""The videos of the simulator."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import side
from benchmarks.rows import Broken, Row, cheaper
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of a video whose kind (size and length) is known already, against encoding one with its own picture.

    First ``--videos stock``, one still for all of a kind. Then the videos that have their own prompt in the picture: no
    two of them are of a kind, so each is encoded, and no goal is set.
    """
    videos = bench.size(20, 2)
    found = bench.interleaved(
        stock=lambda: side(given, videos=videos * 50, stock=True),
        pictured=lambda: side(given, videos=videos // 2, stock=False),
        encoded=lambda: side(encoded, videos=videos // 2),
    )
    cost = {who: [used.told["cpu"] * 1000 / used.told["videos"] for used in runs] for who, runs in found.items()}
    against, unit = "encoding each", "CPU ms a video"
    return [
        cheaper("simulator-video (stock)", unit, cost["stock"], cost["encoded"], against, least=50),
        cheaper("simulator-video (pictured)", unit, cost["pictured"], cost["encoded"], against, least=None),
    ]


class _Shelf:
    """Keeps clips in memory, as the simulator's store does in its file."""

    def __init__(self) -> None:
        self._clips: dict[str, bytes] = {}

    def clip(self, name: str) -> bytes | None:
        return self._clips.get(name)

    def keep(self, name: str, data: bytes) -> bytes:
        return self._clips.setdefault(name, data)


def given(videos: int, stock: bool) -> Mapping[str, Any]:
    """Ask a footage for videos of one kind, the first of which is not counted."""
    import anyio

    from pipeline.simulator.footage import RealFootage, StockFootage
    from pipeline.simulator.pace import Life
    from pipeline.simulator.store import Record

    def record(number: int) -> Record:
        return Record(f"video_{number}", Life(0, 0, 0), "sora-2", material.prompt(number), "1280x720", "4")

    async def run() -> tuple[Clock, set[bytes]]:
        footage = (StockFootage if stock else RealFootage)(_Shelf())
        await footage(record(videos))
        with Clock() as clock:
            seen = {await footage(record(number)) for number in range(videos)}
        return clock, seen

    clock, seen = anyio.run(run)
    if len(seen) != videos:
        raise Broken("two videos have the same bytes")
    return clock.told(videos=videos)


def encoded(videos: int) -> Mapping[str, Any]:
    """Encode each with its prompt in the picture, 1280x720 and four seconds long."""
    from pipeline.simulator.studio import shooting
    from pipeline.simulator.studio.orders import Order

    shooting.shoot(Order("warm", material.prompt(0), "sora-2", (1280, 720), 4), lambda: None)
    with Clock() as clock:
        for number in range(videos):
            order = Order(f"video_{number}", material.prompt(number), "sora-2", (1280, 720), 4)
            shooting.shoot(order, lambda: None)
    return clock.told(videos=videos)

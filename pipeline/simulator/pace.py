"""How long a video takes. Its life is drawn at its creation, so it needs no timers and survives a restart. Pure."""

from dataclasses import dataclass
from random import Random

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Life:
    """When a video is created, leaves the queue and is finished: seconds since the epoch."""

    created_at: float
    started_at: float
    ended_at: float

    def progress(self, now: float) -> int:
        """Return how much of the rendering is done: 0 in the queue, 100 from the end on."""
        if now >= self.ended_at:
            return 100
        return 0 if now < self.started_at else int(100 * (now - self.started_at) / (self.ended_at - self.started_at))


@dataclass(frozen=True, slots=True)
class Pace:
    """Between how many seconds and how many a video waits and renders; ``speed`` divides all of them."""

    queue: Range = (0.3, 1.0)
    render: Range = (1.5, 4.0)
    speed: float = 1.0

    def life(self, video_id: str, now: float) -> Life:
        """Return the life of a video that is created now. The id decides where in the ranges it lies."""
        rng = Random(video_id)  # noqa: S311 - nothing secret
        started_at = now + rng.uniform(*self.queue) / self.speed
        return Life(now, started_at, started_at + rng.uniform(*self.render) / self.speed)

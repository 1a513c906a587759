"""What the studio is asked for. Pure: needs neither Pillow nor PyAV."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be seen and written. ``size`` in pixels, both even. Equal orders give the same pictures."""

    video_id: str
    prompt: str
    model: str
    size: tuple[int, int]
    seconds: int

    @property
    def facts(self) -> tuple[str, ...]:
        """The slate, item by item."""
        wide, high = self.size
        return self.model.upper(), f"{wide} x {high}", f"{self.seconds} s", self.video_id


class Studio(Protocol):
    """The module ``shooting``, for those who must not import Pillow and PyAV to name it."""

    def shoot(self, order: Order, before_frame: Callable[[], object]) -> bytes: ...
    def stock(self, size: tuple[int, int], seconds: int) -> bytes: ...

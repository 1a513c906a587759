"""From an order to an MP4: the studio's two products. Pillow and PyAV; no files."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import repeat
from random import Random

from PIL import Image

from pipeline.simulator.studio.film import FPS, Lens, encode
from pipeline.simulator.studio.lettering import Sheet, draw_sheet, draw_timecode
from pipeline.simulator.studio.orders import Order
from pipeline.simulator.studio.palettes import PALETTES, Motif, motif
from pipeline.simulator.studio.scenes import build
from pipeline.simulator.studio.stage import Scene

_SMALL = 640 * 360
"""Pixels up to which a scene is painted in full size; larger ones are painted in half of it and enlarged."""


def shoot(order: Order, before_frame: Callable[[], object]) -> bytes:
    """Return the order's own video. ``before_frame`` is called before each frame, and may raise to give up."""
    rng = Random(f"{order.video_id}\n{order.prompt}")  # noqa: S311 - nothing secret
    count = order.seconds * FPS
    scene, sheet, lens = _set_up(order, motif(order.prompt, rng), rng)

    def shots() -> Iterator[tuple[Image.Image, Image.Image]]:
        for number in range(count):
            before_frame()
            yield scene.at(number / FPS), draw_timecode(sheet, number, FPS)

    return encode(lens.frames(shots()), order.size, count)


@cache
def stock(size: tuple[int, int], seconds: int) -> bytes:
    """Return a still of that size and length: cheap, for ten thousand videos that nobody looks at."""
    order = Order("one still for all videos of this size and length", "Stock footage", "stock", size, seconds)
    rng = Random(f"{size} {seconds}")  # noqa: S311 - nothing secret
    scene, sheet, lens = _set_up(order, Motif("mountains", "dusk", ""), rng)
    (frame,) = lens.frames([(scene.at(0), draw_timecode(sheet, 0, FPS))])
    return encode(repeat(frame, seconds * FPS), size, seconds * FPS)


def _set_up(order: Order, chosen: Motif, rng: Random) -> tuple[Scene, Sheet, Lens]:
    wide, high = order.size
    part = 1 if wide * high <= _SMALL else 2
    scene = build(chosen, rng, (wide // part, high // part), order.seconds)
    sheet = draw_sheet(order.prompt, order.facts, PALETTES[chosen.palette].accent, order.size)
    stamp = draw_timecode(sheet, 0, FPS)
    at = sheet.corner[0] - stamp.width, sheet.corner[1]
    return scene, sheet, Lens(order.size, picture=scene.backdrop, sheet=sheet.picture, stamp=stamp, at=at)

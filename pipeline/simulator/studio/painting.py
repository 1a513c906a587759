"""Brushes: gradients, glows, silhouettes and textures that move. Pillow; no files.

A brush paints its part of the picture at a time. What does not change is prepared once; a frame is crops and pastes,
so that it costs two or three milliseconds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageDraw

from pipeline.simulator.studio.palettes import Colour

Brush = Callable[[Image.Image, float], None]
"""Paints on a canvas what is to be seen at ``t`` seconds."""

Drawing = Callable[[ImageDraw.ImageDraw, int, int], None]
"""Draws a silhouette in white on an area of that width and height in pixels."""

FINE = 2
"""Silhouettes are drawn this many times larger, and reduced: smooth edges."""

_PHASES = 4
"""Copies of a strip, each a quarter of a pixel further on: slow motion without steps."""


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that is ``share`` (0..1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def gradient(stops: Sequence[Colour], size: tuple[int, int]) -> Image.Image:
    """Return a picture that runs through the colours from top to bottom."""
    column = Image.new("RGB", (1, len(stops)))
    for y, colour in enumerate(stops):
        column.putpixel((0, y), colour)
    return column.resize(size, Image.Resampling.BICUBIC)


def levels(values: Sequence[float], size: tuple[int, int], *, across: bool = False) -> Image.Image:
    """Return a mask that runs through the values (0..1) from top to bottom, or from left to right."""
    line = Image.new("L", (len(values), 1) if across else (1, len(values)))
    for n, value in enumerate(values):
        line.putpixel((n, 0) if across else (0, n), round(255 * value))
    return line.resize(size, Image.Resampling.BICUBIC)


def halo(size: tuple[int, int], *, strength: float, falloff: float) -> Image.Image:
    """Return a soft round mask: ``strength`` (0..1) in the middle, nothing at the edge."""
    curve = [round(255 * strength * max(0.0, 1 - distance / 181) ** falloff) for distance in range(256)]
    return Image.radial_gradient("L").point(curve).resize(size, Image.Resampling.BICUBIC)


def glow(
    canvas: Image.Image,
    centre: tuple[float, float],
    radius: float,
    colour: Colour,
    *,
    strength: float,
    falloff: float = 2.0,
) -> None:
    """Paint light around a point."""
    side = max(2, round(radius * 2))
    corner = round(centre[0] - radius), round(centre[1] - radius)
    canvas.paste(colour, corner, halo((side, side), strength=strength, falloff=falloff))


def disc(canvas: Image.Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """Paint a round body with a smooth edge."""
    side = max(2, math.ceil(radius * 2))
    mask = silhouette(lambda pen, width, height: pen.ellipse((0, 0, width - 1, height - 1), fill=255), (side, side))
    canvas.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), mask)


def starfield(rng: Random, size: tuple[int, int], *, sparse: int) -> Image.Image:
    """Return a mask with one star in every ``sparse`` pixels, most of them faint."""
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for _ in range(size[0] * size[1] // sparse):
        x, y, large = rng.randrange(size[0]), int(rng.random() ** 1.2 * size[1]), rng.random() < 0.05
        pen.rectangle((x, y, x + large, y + large), fill=230 if large else int(60 + 195 * rng.random() ** 3))
    return mask


def clouds(
    rng: Random, size: tuple[int, int], cells: tuple[int, int], density: Callable[[float], float]
) -> Image.Image:
    """Return a mask of noise in octaves, the coarsest of so many cells; ``density`` maps its 0..1 to what is seen."""
    field, weight = Image.new("L", size), 0.0
    for octave in range(5):
        wide, high = cells[0] << octave, cells[1] << octave
        noise = Image.frombytes("L", (wide, high), rng.randbytes(wide * high)).resize(size, Image.Resampling.BICUBIC)
        weight += 0.5**octave
        field = Image.blend(field, noise, 0.5**octave / weight)
    histogram = field.histogram()
    low = next(value for value, count in enumerate(histogram) if count)
    high = next(value for value in range(255, -1, -1) if histogram[value])
    scale = max(1, high - low)
    return field.point([round(255 * min(1.0, max(0.0, density((value - low) / scale)))) for value in range(256)])


def ridge(rng: Random, width: int, *, period: float, octaves: int, sharp: bool = False) -> list[float]:
    """Return ``width`` heights in 0..1: noise in octaves, the first with that period in pixels; ``sharp`` has peaks."""
    heights = [0.0] * width
    for octave in range(octaves):
        step = max(2.0, period / 2**octave)
        knots = [rng.random() for _ in range(int(width / step) + 3)]
        for x in range(width):
            at = int(x / step)
            share = (1 - math.cos((x / step - at) * math.pi)) / 2
            value = knots[at] + (knots[at + 1] - knots[at]) * share
            heights[x] += (1 - abs(2 * value - 1) if sharp else value) / 2**octave
    low, high = min(heights), max(heights)
    return [(height - low) / (high - low or 1) for height in heights]


def crest(heights: Sequence[float]) -> Drawing:
    """Return a drawing that fills everything below the heights, one for each column."""

    def draw(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
        line = [(x, (1 - value) * (height - 1)) for x, value in zip(range(width), heights, strict=False)]
        pen.polygon([(0, height), *line, (width, height)], fill=255)

    return draw


def silhouette(drawing: Drawing, size: tuple[int, int], *, floor: int = 0) -> Image.Image:
    """Return the drawing as a mask with smooth edges; below it ``floor`` rows are filled."""
    width, height = size
    large = Image.new("L", (width * FINE, height * FINE))
    drawing(ImageDraw.Draw(large), *large.size)
    mask = Image.new("L", (width, height + floor), 255)
    mask.paste(large.reduce(FINE), (0, 0))
    return mask


@dataclass(frozen=True, slots=True)
class Strip:
    """A mask wider than the picture, which slides past it."""

    masks: tuple[Image.Image, ...]
    width: int

    @classmethod
    def of(cls, mask: Image.Image, width: int) -> "Strip":
        """Make a mask slide past a picture of that width."""
        size = mask.width - 1, mask.height
        offsets = (phase / _PHASES for phase in range(_PHASES))
        boxes = [(offset, 0, offset + size[0], size[1]) for offset in offsets]
        return cls(tuple(mask.resize(size, Image.Resampling.BILINEAR, box=box) for box in boxes), width)

    def at(self, distance: float) -> Image.Image:
        """Return what is seen after the strip has moved so many pixels; it stands still at its end."""
        whole, phase = divmod(round(distance * _PHASES), _PHASES)
        mask = self.masks[phase]
        left = max(0, min(whole, mask.width - self.width))
        return mask.crop((left, 0, left + self.width, mask.height))


def sliding(strip: Strip, shade: Image.Image, *, top: int, speed: float) -> Brush:
    """Return a brush for a silhouette in the colours of ``shade``; ``speed`` in pixels per second."""

    def paint(canvas: Image.Image, t: float) -> None:
        canvas.paste(shade, (0, top), strip.at(t * speed))

    return paint


@dataclass(frozen=True, slots=True)
class Fall:
    """A mask that comes in again above itself: ``speed`` in pixels per second, ``sway`` a share of its overlap."""

    tile: Image.Image
    speed: float
    sway: float = 0.0

    def at(self, t: float, size: tuple[int, int]) -> Image.Image:
        x = round((self.tile.width - size[0]) / 2 * (1 + math.sin(t) * self.sway))
        down = round(t * self.speed) % self.tile.height
        seen = Image.new("L", size)
        seen.paste(self.tile, (-x, down))
        seen.paste(self.tile, (-x, down - self.tile.height))
        return seen


def falling(falls: Sequence[Fall], colour: Colour, size: tuple[int, int]) -> Brush:
    """Return a brush for rain, snow and the like."""
    shade = Image.new("RGB", size, colour)

    def paint(canvas: Image.Image, t: float) -> None:
        canvas.paste(shade, (0, 0), reduce(ImageChops.lighter, (fall.at(t, size) for fall in falls)))

    return paint


def reflection(line: int, depth: int, tint: Colour) -> Brush:
    """Return a brush for calm water below ``line``: what is above it mirrored, dimmed and rippled."""
    edges = [round(depth * (row / 28) ** 1.6) for row in range(29)]
    bands = [(upper, lower) for upper, lower in pairwise(edges) if lower > upper]

    def paint(canvas: Image.Image, t: float) -> None:
        above = canvas.crop((0, line - depth, canvas.width, line)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        water = Image.blend(above, Image.new("RGB", above.size, tint), 0.42)
        canvas.paste(water, (0, line))
        for upper, lower in bands:
            shift = round(math.sin(t * 2.2 - upper * 0.35) * (1 + 4 * upper / depth))
            canvas.paste(water.crop((0, upper, canvas.width, lower)), (shift, line + upper))

    return paint

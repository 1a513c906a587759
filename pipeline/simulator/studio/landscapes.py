"""Scenes of land and water: silhouettes behind each other that pass at their own speeds. Pillow; no files."""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from PIL import Image, ImageChops, ImageDraw

from pipeline.simulator.studio.painting import (
    Brush,
    Drawing,
    Strip,
    crest,
    gradient,
    halo,
    levels,
    mix,
    reflection,
    ridge,
    silhouette,
    sliding,
)
from pipeline.simulator.studio.stage import Scene, Stage, drift, hang, lit_sky, sky

Box = tuple[float, float, float, float]


def land(stage: Stage, drawing: Drawing, *, depth: float, top: float, tall: float) -> Brush:
    """Return one silhouette of a landscape, from ``top`` down (shares of the height). ``depth``: 0 far, 1 near."""
    speed = stage.unit * (0.006 + 0.07 * depth**1.6)
    upper, crown = round(stage.height * top), max(4, round(stage.height * tall))
    floor = max(1, stage.height - upper - crown)
    strip = Strip.of(silhouette(drawing, (stage.span(speed), crown), floor=floor), stage.width)
    colour = mix(stage.palette.far, stage.palette.near, depth)
    haze = mix(colour, mix(stage.palette.sky[-1], stage.palette.far, 0.4), 0.55 * (1 - depth))
    shade = gradient((colour, colour, haze, haze), (stage.width, crown + floor))
    return sliding(strip, shade, top=upper, speed=speed)


def range_of(stage: Stage, *, period: float, octaves: int, sharp: bool) -> Drawing:
    """Return the line of a range of hills; ``period`` in units."""
    wave = stage.unit * period * stage.rng.uniform(0.8, 1.3) * 2
    width = stage.span(stage.unit * 0.08) * 2
    return crest(ridge(stage.rng, width, period=wave, octaves=octaves, sharp=sharp))


def _ranges(stage: Stage, *, layers: int, sharp: bool, octaves: int, period: float, first: float) -> Scene:
    """Return ranges behind each other; the farthest begins at ``first``, a share of the height."""
    brushes = [drift(stage, first + 0.2)]
    for layer in range(layers):
        depth = layer / (layers - 1)
        line = range_of(stage, period=period, octaves=octaves, sharp=sharp)
        top = first + (0.9 - first) * depth**1.15 - 0.06
        brushes.append(land(stage, line, depth=depth, top=top, tall=0.3 - 0.12 * depth))
    return Scene(lit_sky(stage, first + 0.2), tuple(brushes))


mountains: Callable[[Stage], Scene] = partial(_ranges, layers=5, sharp=True, octaves=6, period=0.9, first=0.3)
dunes: Callable[[Stage], Scene] = partial(_ranges, layers=4, sharp=False, octaves=2, period=1.6, first=0.44)


def conifers(rng: Random) -> Drawing:
    """Return the drawing of a line of firs."""

    def draw(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
        pen.rectangle((0, height * 0.9, width, height), fill=255)
        x = -height * 0.2
        while x < width + height * 0.2:
            tree = height * 0.95 * rng.uniform(0.45, 1.0)
            _fir(pen, (x, height), tree, half=tree * rng.uniform(0.14, 0.2))
            x += tree * rng.uniform(0.1, 0.32)

    return draw


def _fir(pen: ImageDraw.ImageDraw, foot: tuple[float, float], tree: float, *, half: float) -> None:
    x, ground = foot
    for tier in range(7):
        tip, reach, drop = ground - tree * (1 - tier / 7 * 0.86), half * (tier + 1) / 7, tree * 0.24
        pen.polygon([(x, tip), (x - reach, tip + drop), (x, tip + drop * 0.8), (x + reach, tip + drop)], fill=255)


def forest(stage: Stage) -> Scene:
    """Return firs in the mist."""
    brushes: list[Brush] = []
    for depth in (0.05, 0.3, 0.6, 1.0):
        top = 0.3 + 0.2 * depth
        brushes.append(land(stage, conifers(stage.rng), depth=depth, top=top, tall=0.26 + 0.36 * depth))
        if depth < 1:
            brushes.append(_mist(stage, line=top + 0.3 + 0.2 * depth, strength=0.5 - 0.3 * depth))
    return Scene(lit_sky(stage, 0.6), tuple(brushes))


def _mist(stage: Stage, *, line: float, strength: float) -> Brush:
    """Return a bank of mist that drifts along a line (a share of the height)."""
    speed, thick = stage.unit * 0.03, 0.16
    size = stage.span(speed), max(8, round(stage.height * thick * 2))
    density = [strength * (0.35 + 0.65 * value) for value in ridge(stage.rng, 64, period=14, octaves=3)]
    mask = ImageChops.multiply(levels(density, size, across=True), levels((0, 0.43, 1, 0.43, 0), size))
    shade = Image.new("RGB", (stage.width, size[1]), mix(stage.palette.sky[-1], stage.palette.far, 0.35))
    return sliding(Strip.of(mask, stage.width), shade, top=round(stage.height * (line - thick)), speed=speed)


def city(stage: Stage) -> Scene:
    """Return a skyline with lit windows at the water."""
    line = round(stage.height * 0.66)
    brushes = [drift(stage, 0.53)]
    for depth, tall, top in ((0.1, 0.9, 0.2), (0.45, 0.9, 0.26), (0.85, 0.8, 0.32)):
        upper, speed = round(stage.height * top), stage.unit * (0.006 + 0.05 * depth)
        size, seen = (stage.span(speed), line - upper), (stage.width, line - upper)
        windows: list[Box] = []
        towers = Strip.of(silhouette(_towers(stage.rng, tall, windows), size), stage.width)
        colour = mix(stage.palette.far, stage.palette.near, depth)
        foot = mix(colour, stage.palette.sky[-1], 0.5 - 0.3 * depth)
        brushes.append(sliding(towers, gradient((colour, colour, foot), seen), top=upper, speed=speed))
        if depth > 0.3:
            lamps = Strip.of(silhouette(_boxes(windows), size), stage.width)
            warm = Image.new("RGB", seen, mix(stage.palette.light, (255, 190, 90), 0.55))
            brushes.append(sliding(lamps, warm, top=upper, speed=speed))
    brushes.append(reflection(line, stage.height - line, stage.palette.near))
    return Scene(lit_sky(stage, 0.66), tuple(brushes))


def _towers(rng: Random, tall: float, windows: list[Box]) -> Drawing:
    """Return the drawing of a skyline; it adds the windows that are lit to ``windows``."""

    def draw(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
        x = -height * 0.1
        while x < width:
            wide, top = height * rng.uniform(0.07, 0.2), height * (1 - tall * rng.uniform(0.35, 1.0) ** 1.4)
            pen.rectangle((x, top, x + wide, height), fill=255)
            if rng.random() < 0.3:
                pen.line((x + wide / 2, top, x + wide / 2, top - height * 0.07), fill=255, width=2)
            windows.extend(_lit(rng, (x, top, x + wide, height), height * 0.022))
            x += wide + height * rng.choice((0.0, 0.0, 0.01, 0.03))

    return draw


def _lit(rng: Random, tower: Box, pitch: float) -> Iterator[Box]:
    left, top, right, ground = tower
    share = rng.uniform(0.08, 0.5)
    for column in range(int((right - left - pitch) / pitch)):
        for row in range(int((ground - top - pitch) / (pitch * 1.35))):
            if rng.random() < share:
                x, y = left + pitch * (column + 0.75), top + pitch * (1 + row * 1.35)
                yield x, y, x + pitch * 0.55, y + pitch * 0.75


def _boxes(boxes: list[Box]) -> Drawing:
    def draw(pen: ImageDraw.ImageDraw, _width: int, _height: int) -> None:
        for box in boxes:
            pen.rectangle(box, fill=230)

    return draw


def sea(stage: Stage) -> Scene:
    """Return open water with the sun's path on it, and islands on the horizon."""
    palette, rng = stage.palette, stage.rng
    line, isle = round(stage.height * 0.52), max(4, stage.height // 14)
    deep = stage.height - line
    backdrop, x = sky(stage, 0.52), stage.width * rng.uniform(0.3, 0.7)
    hang(stage, backdrop, (x, line - stage.unit * rng.uniform(0.02, 0.16)), stage.unit * rng.uniform(0.07, 0.12))
    water = mix(palette.sky[-1], palette.sky[1], 0.45), mix(palette.sky[1], palette.near, 0.4), palette.near
    backdrop.paste(gradient(water, (stage.width, deep)), (0, line))
    islands = crest(ridge(rng, stage.span(2) * 2, period=stage.unit * 0.9, octaves=4, sharp=True))
    strip = Strip.of(silhouette(islands, (stage.span(2), isle)), stage.width)
    shade = gradient((mix(palette.far, palette.near, 0.25), palette.far), (stage.width, isle))
    far = sliding(strip, shade, top=line - isle, speed=2)
    return Scene(backdrop, (drift(stage, 0.5), far, _shimmer(stage, x, top=line, deep=deep)))


def _shimmer(stage: Stage, x: float, *, top: int, deep: int) -> Brush:
    """Return the light on the water below ``x``: where the crests of two textures meet as they pass each other."""
    speeds = stage.unit * 0.05, stage.unit * 0.085
    first, second = (Strip.of(_ripples(stage, (stage.span(speed), deep)), stage.width) for speed in speeds)
    path, shade = _path(stage, x, deep), Image.new("RGB", (stage.width, deep), stage.palette.light)

    def paint(canvas: Image.Image, t: float) -> None:
        crests = ImageChops.multiply(first.at(t * speeds[0]), second.at((stage.seconds - t) * speeds[1]))
        canvas.paste(shade, (0, top), ImageChops.multiply(crests, path))

    return paint


def _ripples(stage: Stage, size: tuple[int, int]) -> Image.Image:
    """Return a texture of crests: fine at the horizon, broad at the camera."""
    rng = stage.rng

    def draw(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
        for _ in range(width * height // 260):
            near = rng.random()
            x, y = rng.uniform(-0.1, 1.0) * width, near**1.7 * height
            long, thick = (0.005 + 0.045 * near**1.6) * width, 1 + near**1.5 * height * 0.014
            pen.ellipse((x, y, x + long, y + thick), fill=rng.randrange(140, 256))

    return silhouette(draw, size)


def _path(stage: Stage, x: float, deep: int) -> Image.Image:
    """Return how much of it shines: a column that widens towards the camera, and a little everywhere."""
    path = Image.new("L", (stage.width, deep), 60)
    for y in range(deep):
        half = max(2, round(stage.unit * (0.16 + 0.4 * y / deep)))
        row = halo((half * 2, 9), strength=1.0, falloff=0.9).crop((0, 4, half * 2, 5))
        path.paste(255, (round(x) - half, y), row)
    return path

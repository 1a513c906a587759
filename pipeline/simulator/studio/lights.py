"""Scenes that shine by themselves: auroras, nebulae, lamps out of focus. Pillow; no files."""

from PIL import Image, ImageChops, ImageDraw

from pipeline.simulator.studio.landscapes import conifers, land, range_of
from pipeline.simulator.studio.painting import (
    Brush,
    Strip,
    clouds,
    glow,
    gradient,
    levels,
    mix,
    ridge,
    silhouette,
    sliding,
    starfield,
)
from pipeline.simulator.studio.palettes import Colour
from pipeline.simulator.studio.stage import WHITE, Scene, Stage, sky

_GLOWS: tuple[tuple[Colour, Colour], ...] = (
    ((60, 255, 170), (140, 90, 255)),
    ((90, 240, 220), (255, 90, 190)),
    ((150, 255, 90), (60, 130, 255)),
    ((255, 120, 90), (120, 80, 255)),
)


def aurora(stage: Stage) -> Scene:
    """Return curtains of light over hills and firs."""
    backdrop = sky(stage, 0.85)
    backdrop.paste(WHITE, (0, 0), starfield(stage.rng, (stage.width, round(stage.height * 0.8)), sparse=500))
    low, high = stage.rng.choice(_GLOWS)
    veils = [_veil(stage, (high, low, low), top=top) for top in (0.02, 0.14)]
    hills = land(stage, range_of(stage, period=0.6, octaves=4, sharp=True), depth=0.55, top=0.5, tall=0.16)
    return Scene(backdrop, (*veils, hills, land(stage, conifers(stage.rng), depth=1.0, top=0.56, tall=0.22)))


def _veil(stage: Stage, colours: tuple[Colour, ...], *, top: float) -> Brush:
    """Return one curtain: its rays pass behind a slower pattern of bright and dark."""
    size, rng = (stage.width, round(stage.height * 0.5)), stage.rng
    slow, fast = stage.unit * 0.04, stage.unit * 0.07
    rays = Strip.of(_rays(stage, size[1], stage.span(slow)), stage.width)
    light = [0.24 + 0.76 * value for value in ridge(rng, stage.span(fast), period=stage.unit * 0.25, octaves=2)]
    broad = Strip.of(levels(light, (len(light), size[1]), across=True), stage.width)
    shade, upper = gradient(colours, size), round(stage.height * top)

    def paint(canvas: Image.Image, t: float) -> None:
        canvas.paste(shade, (0, upper), ImageChops.multiply(rays.at(t * slow), broad.at(t * fast)))

    return paint


def _rays(stage: Stage, tall: int, width: int) -> Image.Image:
    """Return the rays of a curtain: each rises from its hem, which winds."""
    strength = ridge(stage.rng, width, period=stage.unit * 0.025, octaves=2)
    hem = ridge(stage.rng, width, period=stage.unit * 0.7, octaves=2)
    length = max(2, round(tall * 0.62))
    ray = levels((0, 0.07, 0.22, 0.41, 0.67, 0.98, 0.47, 0), (1, length))
    mask = Image.new("L", (width, tall))
    for x in range(width):
        share = 0.35 + 0.65 * strength[x]
        mask.paste(ray.point([round(value * share) for value in range(256)]), (x, round((tall - length) * hem[x])))
    return mask


def nebula(stage: Stage) -> Scene:
    """Return coloured gas that drifts in front of the stars."""
    rng, palette = stage.rng, stage.palette
    backdrop = gradient((palette.near, mix(palette.near, palette.sky[1], 0.35), palette.near), stage.size)
    colours = (*rng.choice(_GLOWS), mix(palette.accent, palette.sky[-1], 0.5))
    gases = [_gas(stage, colour, pace=0.01 + 0.016 * n, cover=0.28 + 0.1 * n) for n, colour in enumerate(colours)]
    speed = stage.unit * 0.016
    stars = Strip.of(starfield(rng, (stage.span(speed), stage.height), sparse=240), stage.width)
    return Scene(backdrop, (*gases, sliding(stars, Image.new("RGB", stage.size, WHITE), top=0, speed=speed)))


def _gas(stage: Stage, colour: Colour, *, pace: float, cover: float) -> Brush:
    speed = stage.unit * pace
    size = stage.span(speed), stage.height
    cells = max(2, size[0] * 2 // stage.unit), max(2, size[1] * 2 // stage.unit)
    mask = clouds(stage.rng, size, cells, lambda value: max(0.0, (value - cover) * 1.45) ** 1.35)
    shade = gradient((colour, mix(colour, stage.palette.light, 0.25), colour), stage.size)
    return sliding(Strip.of(mask, stage.width), shade, top=0, speed=speed)


def bokeh(stage: Stage) -> Scene:
    """Return lamps out of focus that pass in the dark."""
    palette, rng = stage.palette, stage.rng
    backdrop = gradient((palette.near, mix(palette.near, palette.sky[1], 0.7), palette.near), stage.size)
    for _ in range(4):
        centre = rng.uniform(0, stage.width), rng.uniform(0, stage.height)
        colour = rng.choice((*palette.sky[1:], palette.accent))
        glow(backdrop, centre, stage.unit * rng.uniform(0.4, 0.8), colour, strength=0.5)
    pool = palette.light, palette.accent, palette.sky[-1], palette.sky[-2], mix(palette.accent, palette.light, 0.5)
    return Scene(backdrop, tuple(_discs(stage, rng.choice(pool), radius) for radius in (0.035, 0.06, 0.09, 0.13)))


def _discs(stage: Stage, colour: Colour, radius: float) -> Brush:
    """Return discs of about that radius, in units; the larger, the nearer and the faster."""
    speed, rng = stage.unit * radius * 0.35, stage.rng

    def draw(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
        for _ in range(max(4, round(0.09 * width * height / min(width, height) ** 2 / radius**1.15))):
            r = radius * min(width, height) * rng.uniform(0.6, 1.15)
            x, y, shine = rng.uniform(0, width), rng.gauss(0.42, 0.22) * height, rng.randrange(28, 120)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=shine, outline=shine + 30, width=max(1, round(r / 14)))

    strip = Strip.of(silhouette(draw, (stage.span(speed), stage.height)), stage.width)
    return sliding(strip, Image.new("RGB", stage.size, colour), top=0, speed=speed)

"""Where a scene is built, and the sky above most of them. Pillow; no files."""

import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops

from pipeline.simulator.studio.painting import (
    Brush,
    Strip,
    clouds,
    disc,
    glow,
    gradient,
    levels,
    mix,
    sliding,
    starfield,
)
from pipeline.simulator.studio.palettes import Palette

WHITE = (255, 250, 244)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scene is built from: a palette, dice, the canvas's size in pixels and the length in seconds."""

    palette: Palette
    rng: Random
    width: int
    height: int
    seconds: int

    @property
    def unit(self) -> int:
        """The shorter side, which everything is measured in."""
        return min(self.width, self.height)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def span(self, speed: float) -> int:
        """Return how wide a strip must be that moves so many pixels per second."""
        return self.width + math.ceil(speed * self.seconds) + 3


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture for every instant: a backdrop, and the brushes that paint on a copy of it."""

    backdrop: Image.Image
    brushes: tuple[Brush, ...]

    def at(self, t: float) -> Image.Image:
        """Return the picture at ``t`` seconds."""
        canvas = self.backdrop.copy()
        for brush in self.brushes:
            brush(canvas, t)
        return canvas


def sky(stage: Stage, horizon: float) -> Image.Image:
    """Paint the sky down to ``horizon``, a share of the height, with stars where the palette has them."""
    above = stage.width, max(1, round(stage.height * horizon))
    colours = gradient(stage.palette.sky, above)
    picture = colours.crop((0, above[1] - 1, stage.width, above[1])).resize(stage.size)
    picture.paste(colours, (0, 0))
    if stage.palette.stars:
        picture.paste(WHITE, (0, 0), starfield(stage.rng, above, sparse=900))
    return picture


def hang(stage: Stage, picture: Image.Image, centre: tuple[float, float], radius: float) -> None:
    """Hang the sun, or the moon, into the sky."""
    palette = stage.palette
    glow(picture, centre, stage.unit * 0.9, mix(palette.sky[-1], palette.light, 0.35), strength=0.6)
    glow(picture, centre, radius * 3.2, palette.light, strength=0.55, falloff=2.4)
    disc(picture, centre, radius, mix(palette.light, (255, 255, 255), 0.3))


def lit_sky(stage: Stage, horizon: float) -> Image.Image:
    """Paint the sky with the sun or the moon anywhere above the horizon."""
    picture, rng = sky(stage, horizon), stage.rng
    centre = stage.width * rng.uniform(0.2, 0.8), stage.height * rng.uniform(horizon * 0.45, horizon * 0.8)
    hang(stage, picture, centre, stage.unit * rng.uniform(0.05, 0.1))
    return picture


def drift(stage: Stage, horizon: float) -> Brush:
    """Return clouds that cross the sky above the horizon, lit from there."""
    speed, tall = stage.unit * stage.rng.uniform(0.015, 0.03), max(4, round(stage.height * horizon))
    cover, span = stage.rng.uniform(0.45, 0.62), stage.span(speed)
    cells = max(2, span * 3 // stage.unit), 5
    mask = clouds(stage.rng, (span, tall), cells, lambda value: (value - cover) * 1.9)
    mask = ImageChops.multiply(mask, levels((0.35, 1.0, 0.8, 0.1, 0), mask.size))
    lit = mix(stage.palette.sky[1], stage.palette.light, 0.25), mix(stage.palette.sky[-1], stage.palette.light, 0.5)
    return sliding(Strip.of(mask, stage.width), gradient(lit, (stage.width, tall)), top=0, speed=speed)

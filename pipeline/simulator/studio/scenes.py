"""From a motif to a scene: the tables of places and weathers. Pillow; no files."""

from collections.abc import Callable, Mapping
from random import Random

from PIL import Image, ImageDraw, ImageFilter

from pipeline.simulator.studio import landscapes, lights
from pipeline.simulator.studio.painting import Brush, Fall, falling
from pipeline.simulator.studio.palettes import PALETTES, Colour, Motif
from pipeline.simulator.studio.stage import Scene, Stage


def build(motif: Motif, rng: Random, size: tuple[int, int], seconds: int) -> Scene:
    """Return the scene, its canvas of that size in pixels. The same motif and dice build the same one."""
    stage = Stage(PALETTES[motif.palette], rng, *size, seconds)
    scene = SCENES[motif.place](stage)
    weather = WEATHERS[motif.weather]
    return Scene(scene.backdrop, (*scene.brushes, weather(stage))) if weather else scene


def _rain(stage: Stage) -> Brush:
    size, falls = (stage.width + 8, round(stage.height * 1.25)), []
    for sparse, length, shine in ((1500, 0.03, 70), (3200, 0.06, 105)):
        tile, long = Image.new("L", size), stage.height * length
        pen = ImageDraw.Draw(tile)
        for _ in range(size[0] * size[1] // sparse):
            x, y = stage.rng.uniform(0, size[0]), stage.rng.uniform(0, size[1] - long)
            pen.line((x, y, x - long * 0.12, y + long), fill=stage.rng.randrange(shine // 2, shine))
        falls.append(Fall(tile, speed=stage.height * (0.9 + length * 9)))
    return falling(falls, (235, 242, 255), stage.size)


def _snow(stage: Stage) -> Brush:
    return _flakes(stage, (0.003, 0.006), (255, 255, 255), speed=0.1)


def _motes(stage: Stage) -> Brush:
    return _flakes(stage, (0.003, 0.005), stage.palette.accent, speed=-0.035)


def _flakes(stage: Stage, radii: tuple[float, ...], colour: Colour, *, speed: float) -> Brush:
    """Return flakes of those radii in units; the larger, the fewer and the faster. ``speed``: heights per second."""
    falls = []
    for near, radius in enumerate(radii, start=1):
        tile = Image.new("L", (round(stage.width * 1.12) * 2, round(stage.height * 1.2) * 2))
        pen, r = ImageDraw.Draw(tile), max(1.4, radius * stage.unit * 2)
        for _ in range(240 // near):
            x, y = stage.rng.uniform(0, tile.width), stage.rng.uniform(r, tile.height - r)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=stage.rng.randrange(90, 235))
        falls.append(
            Fall(tile.filter(ImageFilter.GaussianBlur(0.8)).reduce(2), speed=stage.height * speed * near, sway=0.8)
        )
    return falling(falls, colour, stage.size)


SCENES: Mapping[str, Callable[[Stage], Scene]] = {
    "aurora": lights.aurora,
    "bokeh": lights.bokeh,
    "city": landscapes.city,
    "dunes": landscapes.dunes,
    "forest": landscapes.forest,
    "mountains": landscapes.mountains,
    "nebula": lights.nebula,
    "sea": landscapes.sea,
}
WEATHERS: Mapping[str, Callable[[Stage], Brush] | None] = {"": None, "rain": _rain, "snow": _snow, "motes": _motes}

"""Colours and motifs: what a prompt's words, or else its seed, choose. Pure.

The studio reads a prompt as a set designer on a busy day would: it looks for a place, an hour and the weather, and
takes the rest from the seed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """``sky`` runs from the zenith to the horizon; ``far`` fades into ``near``; ``light`` is sun, moon and lamps."""

    sky: tuple[Colour, ...]
    light: Colour
    far: Colour
    near: Colour
    accent: Colour
    stars: bool = False


@dataclass(frozen=True, slots=True)
class Motif:
    """What to paint: names of a scene, a palette and a weather ("" for none)."""

    place: str
    palette: str
    weather: str


def _colours(text: str) -> tuple[Colour, ...]:
    numbers = (int(word, 16) for word in text.split())
    return tuple((number >> 16, number >> 8 & 255, number & 255) for number in numbers)


def _palette(sky: str, others: str, *, stars: bool = False) -> Palette:
    light, far, near, accent = _colours(others)
    return Palette(_colours(sky), light, far, near, accent, stars)


#: Four colours of the sky; then light, far, near and accent.
PALETTES: Mapping[str, Palette] = {
    "dawn": _palette("24335f 6c6499 d8929a ffd0a6", "fff0d2 c493a0 221d38 ffc09a"),
    "day": _palette("1f5fa6 5a9fd6 a9d3ea eef3e6", "fffdf0 93b6c9 16303f ffe08a"),
    "golden": _palette("33204f 8f3a63 e5704a ffc873", "fff2c4 bb5f52 220f26 ffcf7d"),
    "dusk": _palette("0d1538 2a4180 7274b4 e6a9a4", "ffe6d8 6f6fa8 0c1026 f3b8b0"),
    "night": _palette("050814 0b1836 17305a 38587f", "eaf2ff 2f4b73 04070f a9ccff", stars=True),
    "neon": _palette("0b0720 300f55 821a74 f04f8c", "ffb3dc 6d1c74 0a0516 5ff0ff", stars=True),
    "mist": _palette("16343a 37666a 86ac9f e4e3cb", "fbf6dc 7fa398 0c2024 f2e2a8"),
    "noir": _palette("0c0d10 2a2c31 6d7077 c9cac9", "ffffff 73767c 08090b e8e4da"),
    "rose": _palette("2b2350 7a4f8f d98bb0 ffd9cf", "fff4ee b884ae 241a3d ffc4d6"),
}

#: An hour in the prompt decides the palette.
_HOURS: Mapping[str, str] = {
    "dawn": "dawn sunrise morning daybreak early",
    "day": "noon day daylight sunny midday afternoon",
    "golden": "sunset golden evening autumn fire lava warm",
    "dusk": "dusk twilight nightfall",
    "night": "night midnight moon moonlit moonlight stars starry dark",
    "neon": "neon cyberpunk club hologram arcade futuristic synthwave",
    "mist": "fog foggy mist misty swamp haze hazy grey gray overcast",
    "noir": "noir monochrome black-and-white",
    "rose": "spring blossom cherry wedding love pink pastel dream dreamy",
}

#: A place, or what is found there, decides the scene.
_PLACES: Mapping[str, str] = {
    "city": "city street skyline building buildings skyscraper town traffic car cars taxi train rooftop tokyo paris",
    "sea": "sea ocean beach wave waves boat ship surf surfing coast island lake river harbour harbor whale dolphin",
    "mountains": "mountain mountains hill hills valley canyon cliff alps volcano landscape eagle castle road",
    "dunes": "desert dune dunes sand camel sahara pyramid mars savanna",
    "forest": "forest tree trees wood woods jungle deer bear fox wolf garden park bird owl panda",
    "aurora": "aurora arctic antarctic polar ice iceberg glacier penguin northern",
    "nebula": "space galaxy nebula planet planets astronaut cosmos universe spaceship comet underwater abstract ink",
    "bokeh": "portrait face woman man people crowd party lights cat dog kitchen table coffee flower close-up macro",
}

_WEATHERS: Mapping[str, str] = {
    "rain": "rain rainy raining rain-soaked storm stormy thunderstorm wet drizzle monsoon",
    "snow": "snow snowy snowing snowfall winter blizzard christmas",
    "motes": "dust pollen fireflies sparks embers magic fairy ash",
}

#: Places that look right in some palettes only.
_SUITED: Mapping[str, tuple[str, ...]] = {
    "aurora": ("night", "dusk", "neon", "dawn"),
    "bokeh": ("neon", "golden", "rose", "dusk", "night", "dawn"),
    "dunes": ("golden", "dawn", "dusk", "day", "rose", "night"),
    "forest": ("mist", "dawn", "night", "dusk", "golden", "day", "noir"),
    "nebula": ("night", "neon", "rose", "dusk", "golden", "noir"),
}


def motif(prompt: str, rng: Random) -> Motif:
    """Return what the prompt's words ask for; ``rng`` decides what they leave open."""
    words = re.findall(r"[a-z-]+", prompt[:4000].lower())
    place = _asked(words, _PLACES) or rng.choice(sorted(_PLACES))
    suited = _SUITED.get(place, tuple(PALETTES))
    palette = _asked(words, _HOURS)
    return Motif(place, palette if palette in suited else rng.choice(suited), _asked(words, _WEATHERS))


def _asked(words: Sequence[str], table: Mapping[str, str]) -> str:
    names = {word: name for name, listed in table.items() for word in listed.split()}
    return next((names[word] for word in words if word in names), "")

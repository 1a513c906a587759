"""What is written over the picture: the prompt as a lower third, a slate, a timecode. Pillow; no files.

What stays is one transparent sheet in the video's full size, drawn once; the timecode is a small one for every frame.
"""

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import cast

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from pipeline.simulator.studio.palettes import Colour

_WHITE: Colour = (252, 250, 246)
_GREY: Colour = (206, 206, 210)
_BRAND = "CALLSHEET  ·  SIMULATED"

_ROOMY = 160
"""Pixels of the shorter side from which there is room for more than the prompt."""

_LONGEST = 2000
"""Characters of a prompt that are laid out at all: more do not fit at any size."""

#: What Pillow's built-in typeface can draw: a subset of Aileron.
_GLYPHS = frozenset(map(chr, range(32, 127))) | set("©«°±´·»‘’“”…‹›™")  # noqa: RUF001 - these very characters
_SPELLED = str.maketrans({"–": "-", "—": "-", "×": "x", "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l"})  # noqa: RUF001


def legible(text: str) -> str:
    """Return the text in characters that the typeface has.

    Accents go; a symbol becomes its name, a run in another script the script's name, in brackets: the picture says
    what it cannot show.
    """
    spelled = text[:_LONGEST].translate(_SPELLED)
    plain = "".join(char if char in _GLYPHS else unicodedata.normalize("NFKD", char) for char in spelled)
    written = "".join(_written(label, "".join(run)) for label, run in groupby(plain, _stand_in))
    gathered = re.sub(r"(?:\[[^][]+\]\s*){2,}", _gather, written)
    return re.sub(r" (?=[,.;:!?])", "", " ".join(gathered.split()))


def _stand_in(char: str) -> str | None:
    """Return the name for what cannot be drawn, "" for what needs none, None for what can be drawn."""
    if char in _GLYPHS:
        return None
    kind, name = unicodedata.category(char)[0], unicodedata.name(char, "symbol")
    if kind == "S":
        return "" if name.startswith("EMOJI MODIFIER") else name.lower()
    script = name.split()[0].split("-")[0]
    return (script if len(script) < 4 else script.capitalize()) if kind in "LN" else ""


def _written(label: str | None, run: str) -> str:
    if label is None:
        return run
    return f" [{label}] " if label else " " * (not all(unicodedata.category(char)[0] == "M" for char in run))


def _gather(labels: re.Match[str]) -> str:
    """Write neighbouring names as one list, each of them once."""
    return f"[{', '.join(dict.fromkeys(re.findall(r'[^][]+(?=])', labels[0])))}] "


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))  # with a size it is one, or it raises


def _wrap(text: str, size: int, width: int) -> list[str]:
    """Break the text into lines of at most ``width`` pixels, between words where it can."""
    font, lines, room = _font(size), [""], 0.0
    space = font.getlength(" ")
    for word in text.split():
        for piece in _pieces(word, size, width):
            length = font.getlength(piece)
            if length + space <= room:
                lines[-1] += f" {piece}"
                room -= length + space
            else:
                lines.append(piece)
                room = width - length
    return lines[1:]


def _pieces(word: str, size: int, width: int) -> Iterator[str]:
    """Cut a word that is longer than a line."""
    most = max(1, 5 * width // size)  # few letters are narrower than a fifth of their height
    while len(word) > 1 and (len(word) > most or _font(size).getlength(word) > width):
        cut = _fitting(word[:most], size, width)
        yield word[:cut]
        word = word[cut:]
    yield word


def _fitting(word: str, size: int, width: int) -> int:
    """Return how many of the word's letters fit the width, at least one."""

    def length(count: int) -> int:
        return math.ceil(_font(size).getlength(word[:count]))

    return max(1, bisect_right(range(1, len(word) + 1), width, key=length))


@dataclass(frozen=True, slots=True)
class Title:
    """The prompt as it is set: the type's size and the step from line to line, in pixels."""

    lines: tuple[str, ...]
    size: int

    @property
    def leading(self) -> int:
        return round(self.size * 1.26)

    @property
    def height(self) -> int:
        return self.leading * len(self.lines)


def set_title(text: str, room: tuple[int, int], *, largest: int, smallest: int) -> Title:
    """Set the text as large as it fits the room; what does not fit at the smallest size ends with an ellipsis."""
    sizes = [largest]
    while sizes[-1] > smallest:
        sizes.append(max(smallest, min(sizes[-1] - 1, round(sizes[-1] * 0.9))))
    titles = (Title(tuple(_wrap(text, size, room[0])), size) for size in sizes)
    title = next(title for title in titles if title.height <= room[1] or title.size == smallest)
    fitting = max(1, room[1] // title.leading)
    if len(title.lines) <= fitting:
        return title
    last = title.lines[fitting - 1]
    while last and _font(title.size).getlength(last + "…") > room[0]:
        last = last[:-1]
    return Title((*title.lines[: fitting - 1], last.rstrip(" ,.;") + "…"), title.size)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The transparent sheet (RGBA); ``corner`` is where the timecode's right edge and top are, in pixels."""

    picture: Image.Image
    accent: Colour
    type_size: int
    corner: tuple[int, int]


def draw_sheet(prompt: str, facts: Sequence[str], accent: Colour, size: tuple[int, int]) -> Sheet:
    """Return the sheet for a video of that size: the prompt, below it the facts of the job in their order."""
    (width, height), unit = size, min(size)
    margin, small = max(2, round(unit * 0.06)), max(6, round(unit * 0.0225))
    inner = max(1, width - 2 * margin)
    roomy = unit >= _ROOMY
    rows = _rows([legible(fact) for fact in facts] if roomy else [], small, inner - small * 7)
    bottom = height - margin - round(small * 1.7 * len(rows))
    rule = bottom - round(small * 0.9)
    room = inner, round(height * (0.24 if width > height else 0.3))
    title = set_title(legible(prompt), room, largest=max(8, round(unit * 0.062)), smallest=max(6, round(unit * 0.027)))
    top = rule - round(small * 0.9) - title.height
    ink = Ink(Image.new("RGB", size), Image.new("L", size))
    ink.write((margin, margin), _BRAND if roomy else "", small, _GREY, spacing=small * 0.16)
    for number, line in enumerate(title.lines):
        ink.write((margin, top + number * title.leading), line, title.size, _WHITE)
    for number, line in enumerate(rows):
        ink.write((margin, bottom + round(small * 1.7 * number)), line, small, _GREY, spacing=small * 0.06)
    ink.rule((margin, rule), (round(unit * 0.1), max(1, round(unit * 0.004))), accent)
    return Sheet(ink.on_shade(below=top - 2 * title.leading), accent, small, (width - margin, bottom))


def _rows(facts: Sequence[str], size: int, width: int) -> list[str]:
    """Put the facts on as few rows as they need, none of them broken."""
    rows = list(facts[:1])
    for fact in facts[1:]:
        joined = f"{rows[-1]}   ·   {fact}"
        if _font(size).getlength(joined) * 1.1 <= width:
            rows[-1] = joined
        else:
            rows.append(fact)
    return rows


@dataclass(frozen=True, slots=True)
class Ink:
    """Letters being written: their colours, spread wider than they are, and the mask that cuts them out."""

    colours: Image.Image
    mask: Image.Image

    def write(self, at: tuple[float, float], text: str, size: int, colour: Colour, *, spacing: float = 0) -> None:
        x, y = at
        wide, narrow = ImageDraw.Draw(self.colours), ImageDraw.Draw(self.mask)
        for chunk in text if spacing else (text,):
            wide.text((x, y), chunk, font=_font(size), fill=colour, stroke_width=2, stroke_fill=colour)
            narrow.text((x, y), chunk, font=_font(size), fill=255)
            x += _font(size).getlength(chunk) + spacing

    def rule(self, at: tuple[int, int], size: tuple[int, int], colour: Colour) -> None:
        box = (*at, at[0] + size[0], at[1] + size[1])
        self.colours.paste(colour, box)
        self.mask.paste(255, box)

    def on_shade(self, *, below: int) -> Image.Image:
        """Return the letters on a vignette, a shade that grows downwards from ``below``, and their own soft shadow."""
        width, height = self.mask.size
        begin = min(max(0, below), height - 1)
        corners = Image.radial_gradient("L").point([round(58 * (max(0, d - 60) / 121) ** 2) for d in range(256)])
        shade = corners.resize(self.mask.size, Image.Resampling.BICUBIC)
        fall = Image.linear_gradient("L").point([round(205 * (v / 255) ** 0.8) for v in range(256)])
        floor = Image.new("L", self.mask.size)
        floor.paste(fall.resize((width, height - begin)), (0, begin))
        shadow = self.mask.filter(ImageFilter.GaussianBlur(max(1, min(width, height) / 160)))
        sheet = Image.new("RGBA", self.mask.size)
        sheet.putalpha(ImageChops.lighter(ImageChops.lighter(shade, floor), shadow))
        letters = self.colours.convert("RGBA")
        letters.putalpha(self.mask)
        return Image.alpha_composite(sheet, letters)


def draw_timecode(sheet: Sheet, frame: int, fps: int) -> Image.Image:
    """Return the timecode (RGBA) of a frame; all have one size, and their digits stand in columns."""
    cell, seconds = round(sheet.type_size * 0.62), frame // fps
    picture = Image.new("RGBA", (cell * 8 + 2, round(sheet.type_size * 1.5)), (*sheet.accent, 0))
    pen = ImageDraw.Draw(picture)
    for column, char in enumerate(f"{seconds // 60:02}:{seconds % 60:02}:{frame % fps:02}"):
        place = column * cell + cell // 2, 0
        pen.text(place, char, font=_font(sheet.type_size), fill=(*sheet.accent, 255), anchor="ma")
    return picture

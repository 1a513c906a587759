"""What people see: the pictures, the lettering, and files that play."""

import io
from itertools import pairwise
from random import Random

import pytest

from pipeline.simulator.studio.orders import Order

av = pytest.importorskip("av", reason="PyAV is an extra: callsheet[simulator]")
pytest.importorskip("PIL", reason="Pillow is an extra: callsheet[simulator]")

from PIL import Image, ImageChops, ImageFont, ImageStat  # noqa: E402

from pipeline import mp4  # noqa: E402
from pipeline.simulator.studio import shooting  # noqa: E402
from pipeline.simulator.studio.lettering import draw_sheet, draw_timecode, legible, set_title  # noqa: E402
from pipeline.simulator.studio.palettes import PALETTES, Motif, motif  # noqa: E402
from pipeline.simulator.studio.scenes import SCENES, WEATHERS, build  # noqa: E402

LONG = "A sweeping aerial view over the fjord as the northern lights dance above a small red cabin by the water. " * 40


def order(prompt: str, size: tuple[int, int] = (160, 90), seconds: int = 4, video_id: str = "video_1") -> Order:
    return Order(video_id, prompt, "sora-2", size, seconds)


def shoot(wanted: Order) -> bytes:
    return shooting.shoot(wanted, lambda: None)


def frames(data: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def spread(picture: Image.Image) -> float:
    """How much a picture varies: 0 for an even one."""
    return max(ImageStat.Stat(picture).stddev)


def distance(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ, in levels of 256 on average."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)


# Files


@pytest.mark.parametrize("size", [(720, 1280), (1792, 1024)])
def test_stock_is_a_whole_file(size: tuple[int, int]) -> None:
    found = mp4.inspect(io.BytesIO(shooting.stock(size, 4)))
    assert isinstance(found, mp4.Mp4)
    assert (found.width, found.height, found.duration) == (*size, 4.0)


@pytest.mark.parametrize(
    ("size", "seconds"), [((1280, 720), 4), ((160, 90), 8), ((90, 160), 12), ((64, 36), 4), ((2, 2), 4)]
)
def test_a_video_has_exactly_the_size_and_the_frames_asked_for(size: tuple[int, int], seconds: int) -> None:
    data = shoot(order("A lighthouse at the sea", size, seconds))
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 24)
        assert stream.duration * stream.time_base == seconds
        decoded = [(frame.width, frame.height) for frame in container.decode(stream)]
    assert decoded == [size] * (24 * seconds)


def test_players_can_start_before_the_end_of_the_file_has_come() -> None:
    data = shoot(order("x"))
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_video_can_be_given_up_at_any_frame() -> None:
    left = list(range(10))
    with pytest.raises(IndexError):
        shooting.shoot(order("x"), left.pop)


# Pictures


def test_the_prompt_is_bright_letters_in_the_lower_third() -> None:
    def bright(prompt: str) -> int:
        first = frames(shoot(order(prompt, (320, 180))))[0].convert("L")
        return sum(first.crop((0, 100, 320, 165)).histogram()[215:])

    assert bright("Moonlit forest " * 8) > bright("") + 300


def test_every_job_looks_different_and_the_same_job_the_same() -> None:
    first, again, other_id, other_prompt = (
        frames(shoot(order(prompt, video_id=video_id)))[10]
        for prompt, video_id in [("A cat", "video_1"), ("A cat", "video_1"), ("A cat", "video_2"), ("A dog", "video_1")]
    )
    assert distance(first, again) == 0
    assert distance(first, other_id) > 5
    assert distance(first, other_prompt) > 5


@pytest.mark.parametrize("size", [(128, 72), (72, 128)])
@pytest.mark.parametrize("place", SCENES)
def test_every_scene_is_a_picture_that_moves(place: str, size: tuple[int, int]) -> None:
    for palette in ("day", "night", "noir"):
        scene = build(Motif(place, palette, ""), Random(palette), size, 12)
        shown = [scene.at(t) for t in (0, 4, 8, 287 / 24)]
        assert {picture.size for picture in shown} == {size}
        assert all(spread(picture) > 8 for picture in shown)
        assert all(distance(one, other) > 0.2 for one, other in pairwise(shown))


@pytest.mark.parametrize("place", SCENES)
def test_motion_has_no_jumps(place: str) -> None:
    scene = build(Motif(place, "dusk", ""), Random(1), (160, 90), 12)
    steps = [distance(scene.at(n / 24), scene.at((n + 1) / 24)) for n in range(0, 287, 7)]
    assert max(steps) < 4 * (sum(steps) / len(steps)) + 0.5


@pytest.mark.parametrize("weather", [weather for weather in WEATHERS if weather])
def test_weather_falls_on_any_scene(weather: str) -> None:
    wet, dry = (build(Motif("city", "dusk", falls), Random(1), (320, 180), 4) for falls in (weather, ""))
    assert distance(wet.at(1), dry.at(1)) > 0.5
    assert distance(wet.at(1), wet.at(1.2)) > distance(dry.at(1), dry.at(1.2))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Drone shot through a rain-soaked city at dawn, cinematic", Motif("city", "dawn", "rain")),
        ("Fireflies in a forest at dusk", Motif("forest", "dusk", "motes")),
        ("SNOW on a Mountain at NIGHT!", Motif("mountains", "night", "snow")),
        ("Golden ocean", Motif("sea", "golden", "")),
    ],
)
def test_words_of_the_prompt_choose_the_motif(prompt: str, expected: Motif) -> None:
    assert motif(prompt, Random(0)) == expected


def test_the_seed_chooses_what_the_prompt_leaves_open() -> None:
    motifs = [motif("The mascot dances", Random(seed)) for seed in range(200)]
    assert {chosen.place for chosen in motifs} == SCENES.keys()
    assert {chosen.palette for chosen in motifs} == PALETTES.keys()


# Lettering


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A plain prompt, with “quotes”…", "A plain prompt, with “quotes”…"),
        ("Façade – naïve Straße, ﬁn", "Facade - naive Strasse, fin"),  # noqa: RUF001
        ("line\none\ttwo\x00\x1b[31m", "line one two [31m"),
        ("a 🚀 and 🚀🚀🐱!", "a [rocket] and [rocket, cat face]!"),
        ("👩‍🚀👍🏽", "[woman, rocket, thumbs up sign]"),
        ("猫が、走る。", "[CJK, Hiragana]"),
        ("مرحبا بالعالم, hello", "[Arabic], hello"),
        ("e\u0301 \u200fx\ud800", "e x"),
        ("", ""),
    ],
)
def test_what_the_typeface_lacks_is_named(text: str, shown: str) -> None:
    assert legible(text) == shown


def test_nothing_is_drawn_as_an_empty_box() -> None:
    font = ImageFont.load_default(20)
    box = bytes(font.getmask("\U0010ffff"))
    every = "".join(chr(code) for code in range(0x20, 0x3000))
    for start in range(0, len(every), 500):
        for char in set(legible(every[start : start + 500])) - {" "}:
            assert bytes(font.getmask(char)) != box, char


def test_a_prompt_is_shown_whole_while_there_is_room() -> None:
    words = LONG[:800]
    title = set_title(words, (1160, 173), largest=45, smallest=19)
    assert " ".join(title.lines) == words.strip()
    assert 19 <= title.size < 45


def test_a_prompt_that_fits_no_more_ends_with_an_ellipsis() -> None:
    for text in (LONG, "x" * 5000):
        title = set_title(text, (300, 60), largest=30, smallest=12)
        assert title.lines[-1].endswith("…")
        assert title.height <= 60
        assert all(ImageFont.load_default(title.size).getlength(line) <= 300 for line in title.lines)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (64, 36)])
@pytest.mark.parametrize("prompt", ["", "\n", LONG, "x" * 32000, "🚀" * 400, "夜" * 800])
def test_any_prompt_can_be_written_on_any_size(prompt: str, size: tuple[int, int]) -> None:
    sheet = draw_sheet(prompt, ("SORA-2", "4 s", "video_" + "0" * 32), (255, 200, 100), size)
    assert sheet.picture.size == size
    assert draw_timecode(sheet, 287, 24).size == draw_timecode(sheet, 0, 24).size

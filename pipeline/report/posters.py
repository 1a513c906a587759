"""The picture that stands for a video until it plays. The only module of the report that needs Pillow and PyAV.

The middle is the best guess at what a video shows, and decoding the key frame nearest to it costs milliseconds where
decoding up to the middle itself costs seconds. A frame of one colour (the first one of a fade) says nothing, so a
later one is tried.
"""

import io
from base64 import b64encode
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from PIL import Image, ImageStat

TYPE = "webp"
SIZE = 360
"""Pixels of the longer side: a frame on the sheet is about as wide."""

_QUALITY = 68
_PIXELS = {"RGB": "rgb24", "L": "gray"}
_FRAMES_AT_MOST = 48
_DULL = 6.0
"""A picture whose brightness varies by less, as a standard deviation of 255 levels, is of one colour."""


def poster(file: BinaryIO) -> bytes | None:
    """Return a WebP of a telling frame; None for what cannot be decoded."""
    try:
        with av.open(file, mode="r") as container:
            frame = _telling(container)
            picture = None if frame is None else _image(frame, *_fitted(frame.width, frame.height))
    except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError):  # whatever a strange file does to a decoder
        return None
    if picture is None:
        return None
    made = io.BytesIO()
    picture.save(made, TYPE, quality=_QUALITY, method=3)
    return made.getvalue()


def data_url(picture: bytes) -> str:
    return f"data:image/{TYPE};base64,{b64encode(picture).decode()}"


def _fitted(width: int, height: int) -> tuple[int, int]:
    """Return the size in which the longer side is SIZE, or what it was where that is less."""
    share = min(1.0, SIZE / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _telling(container: InputContainer) -> VideoFrame | None:
    stream = container.streams.video[0]
    stream.thread_type = "NONE"  # several videos are decoded at the same time
    if stream.duration:
        container.seek((stream.start_time or 0) + stream.duration // 2, stream=stream)
    best, most = None, -1.0
    for frame in _first(container):
        grey = _image(frame, 64, 64, "L")
        varies = ImageStat.Stat(grey).stddev[0]
        if varies > most:
            best, most = frame, varies
        if most >= _DULL:
            break
    return best


def _image(frame: VideoFrame, width: int, height: int, mode: str = "RGB") -> Image.Image:
    scaled = frame.reformat(width=width, height=height, format=_PIXELS[mode], interpolation="AREA")
    plane = scaled.planes[0]
    return Image.frombytes(mode, (width, height), bytes(plane), "raw", mode, plane.line_size)


def _first(container: InputContainer) -> Iterator[VideoFrame]:
    for number, frame in enumerate(container.decode(video=0)):
        if number == _FRAMES_AT_MOST:
            return
        yield frame

"""From pictures and a lettered sheet to an H.264 MP4 in memory. PyAV; no files."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from PIL import Image

FPS = 24

_TICK = Fraction(1, FPS)
_FORMATS = {"RGB": "rgb24", "RGBA": "rgba"}
# "ultrafast" without what makes gradients ugly: deblocking and adaptive quantisation cost little, cabac saves a third.
_X264 = {
    "preset": "ultrafast",
    "crf": "30",
    "threads": "1",
    "x264-params": "cabac=1:deblock=0,0:aq-mode=1:keyint=96:colormatrix=bt709:colorprim=bt709:transfer=bt709",
}


class Lens:
    """Enlarges pictures to the video's size, and lays the sheet and each frame's timecode over them.

    It happens in libavfilter, on YUV, which is many times cheaper than on large RGB pictures. ``picture`` and ``stamp``
    are examples: all that follow have their sizes.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        picture: Image.Image,
        sheet: Image.Image,
        stamp: Image.Image,
        at: tuple[int, int],
    ) -> None:
        graph = self._graph = Graph()  # kept: PyAV's filters hold their graph weakly
        graph.threads = 1
        self._picture, self._sheet, self._stamp = (_source(graph, image) for image in (picture, sheet, stamp))
        self._sink = graph.add("buffersink")
        base = _converted(graph, self._picture, "yuv420p", f"{size[0]}:{size[1]}:flags=bicubic:")
        titled = graph.add("overlay", "0:0:format=yuv420:eof_action=repeat")
        stamped = graph.add("overlay", f"{at[0]}:{at[1]}:format=yuv420")
        base.link_to(titled, 0, 0)
        _converted(graph, self._sheet, "yuva420p").link_to(titled, 0, 1)
        titled.link_to(stamped, 0, 0)
        _converted(graph, self._stamp, "yuva420p").link_to(stamped, 0, 1)
        stamped.link_to(self._sink)
        graph.configure()
        self._sheet.push(_frame(sheet, 0))
        self._sheet.push(None)

    def frames(self, shots: Iterable[tuple[Image.Image, Image.Image]]) -> Iterator[VideoFrame]:
        """Yield a finished frame for every picture (RGB) with its timecode (RGBA). Once for one lens."""
        for number, (picture, stamp) in enumerate(shots):
            self._picture.push(_frame(picture, number))
            self._stamp.push(_frame(stamp, number))
            yield from self._ready()
        self._picture.push(None)
        self._stamp.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            if isinstance(frame, VideoFrame):
                yield frame


def _source(graph: Graph, image: Image.Image) -> FilterContext:
    pixels = av.VideoFormat(_FORMATS[image.mode])
    return graph.add_buffer(width=image.width, height=image.height, format=pixels, time_base=_TICK)


def _converted(graph: Graph, source: FilterContext, pixels: str, scale: str = "") -> FilterContext:
    scaled = graph.add("scale", f"{scale}out_color_matrix=bt709:out_range=tv")
    shaped = graph.add("format", pixels)
    source.link_to(scaled)
    scaled.link_to(shaped)
    return shaped


def _frame(picture: Image.Image, number: int) -> VideoFrame:
    frame = VideoFrame(picture.width, picture.height, _FORMATS[picture.mode])
    plane = frame.planes[0]
    plane.update(picture.tobytes("raw", picture.mode, plane.line_size))
    frame.pts, frame.time_base = number, _TICK
    return frame


def encode(frames: Iterable[VideoFrame], size: tuple[int, int], count: int) -> bytes:
    """Return the MP4 of ``count`` frames, its index in front, so that players can start at once."""
    file = io.BytesIO()
    # Room for the index is left at the front: the muxer's own faststart would have to open the file a second time.
    with av.open(file, "w", format="mp4", options={"moov_size": str(4096 + 32 * count)}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=_X264)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, _TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()

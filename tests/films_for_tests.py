"""Video files that tests share. Every frame carries its number as a bar code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BAR = 8  # pixels; ten bars, white for 1
HEIGHT, WIDTH = 32, 96


def bar_code(number: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(10):
        image[:16, bit * BAR : (bit + 1) * BAR] = 255 * (number >> bit & 1)
    return image


def number_in(image: np.ndarray) -> int:
    centres = image[8, BAR // 2 : 10 * BAR : BAR].mean(axis=-1)
    return sum(int(value > 127) << bit for bit, value in enumerate(centres))


def write(
    path: Path,
    frames: int = 40,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    container_options: Mapping[str, str] | None = None,
    cover: bool = False,
    sound: bool = False,
    **options: str,
) -> Path:
    """A video of bar codes; ``times`` are milliseconds, for a variable frame rate."""
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        picture = cover_of(container) if cover else None
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        prepare(stream)
        speaker = container.add_stream("aac", rate=44100) if sound else None
        if picture is not None:
            image = av.VideoFrame.from_ndarray(np.full((640, 640, 3), 99, np.uint8), format="rgb24")
            container.mux(picture.encode(image))
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(bar_code(number), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 25 if times is None else 1000)
            container.mux(stream.encode(frame))
            if speaker is not None:
                container.mux(speaker.encode(silence(number)))
        for finished in filter(None, (stream, speaker)):
            container.mux(finished.encode(None))
    return path


def cover_of(container: av.container.OutputContainer) -> av.VideoStream:
    """A stream for a picture that is attached to the file, larger than the film."""
    stream = container.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 640, 640, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def silence(number: int, samples: int = 44100 // 25) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 44100, number * samples
    return frame


def faststart(path: Path) -> Path:
    """A video whose header stands before its frames, as on the web."""
    return write(path, frames=60, container_options={"movflags": "faststart"}, **{**CLOSED, "bf": "0"})


CLOSED = {"g": "12", "bf": "3", "crf": "12"}
OPEN = {**CLOSED, "x264-params": "open-gop=1:scenecut=0"}
X265 = {"crf": "8", "x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}

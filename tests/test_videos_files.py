import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions
from sam2_core.videos.decoder import Decoder
from sam2_core.videos.files import VideoFile
from sam2_core.videos.frame_index import FrameIndex, Stamp
from tests.films_for_tests import (
    CLOSED,
    HEIGHT,
    OPEN,
    WIDTH,
    X265,
    bar_code,
    cover_of,
    faststart,
    number_in,
    silence,
    write,
)

KINDS = {
    "b-frames.mp4": ("libx264", CLOSED),
    "open-groups.mp4": ("libx264", OPEN),
    "open-groups.mkv": ("libx264", OPEN),
    "hevc.mp4": ("libx265", X265),
    "transport.ts": ("libx264", CLOSED),
    "program.mpg": ("mpeg2video", {"g": "12", "bf": "2", "b": "4M"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
    "vp8.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8", "b": "1M"}),
    "intra.mov": ("mjpeg", {}),
    "reordered.avi": ("libx264", CLOSED),  # AVI has no times for these
    "animated.gif": ("gif", {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_the_right_one_in_any_order(tmp_path: Path, name: str) -> None:
    codec, options = KINDS[name]
    path = write(tmp_path / name, codec=codec, **options)
    shuffled = random.Random(0).sample(range(40), 40)
    for order in (range(40), shuffled, range(39, -1, -1), range(0, 40, 7)):
        for cache_bytes in (0, 60_000, 2**20):  # one frame, a part of a group, everything
            video = VideoFile(path, cache_bytes=cache_bytes)
            assert len(video) == 40
            assert [number_in(video[i]) for i in order] == list(order)
            video.close()


def in_any_order(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    for order in (range(40), random.Random(0).sample(range(40), 40), range(39, -1, -3)):
        video = VideoFile(path, cache_bytes=0)
        assert (len(video), video.size) == (40, size)
        assert [number_in(video[i]) for i in order] == list(order)


PIXELS = {
    "ten-bit.mp4": ("libx264", "yuv420p10le", CLOSED),
    "ten-bit.mkv": ("libx265", "yuv420p10le", X265),
    "alpha.webm": ("libvpx-vp9", "yuva420p", KINDS["vp9.webm"][1]),
    "alpha.mov": ("png", "rgba", {}),
    "alpha.mkv": ("ffv1", "bgra", {}),
    "odd.avi": ("mjpeg", "yuvj420p", {}),
    "odd.webm": ("libvpx-vp9", "yuv420p", KINDS["vp9.webm"][1]),
}


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_of_any_kind_are_read(tmp_path: Path, name: str) -> None:
    codec, pixels, options = PIXELS[name]
    height, width = (33, 97) if name.startswith("odd") else (HEIGHT, WIDTH)

    def prepare(stream: av.VideoStream) -> None:
        stream.width, stream.height, stream.pix_fmt = width, height, pixels

    in_any_order(write(tmp_path / name, codec=codec, prepare=prepare, **options), (height, width))


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts", "fragments.mp4"])
def test_a_film_may_begin_late_and_lie_in_fragments(tmp_path: Path, name: str) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"} if name == "fragments.mp4" else {"use_editlist": "0"}
    times = [2000 + 40 * i for i in range(40)]
    given = times if name != "late.ts" else None  # which begins late by itself
    in_any_order(write(tmp_path / name, times=given, container_options=fragments, **CLOSED))


def test_frames_at_irregular_times_are_found_by_their_number(tmp_path: Path) -> None:
    steps = random.Random(1).choices([10, 33, 40, 400], k=40)
    times = [sum(steps[:i]) for i in range(40)]
    for name in ("variable.mp4", "variable.mkv"):
        path = write(tmp_path / name, times=times, **CLOSED)
        for order in (range(40), random.Random(2).sample(range(40), 40)):
            video = VideoFile(path, cache_bytes=0)
            assert [number_in(video[i]) for i in order] == list(order)


def test_frames_are_rgb_in_memory_of_their_own(tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / "a.mp4", frames=3))
    frame = video[1]
    assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert frame.flags.c_contiguous
    frame[:] = 0
    assert number_in(video[1]) == 1
    assert video.size == (HEIGHT, WIDTH)
    assert video.frame_rate == 25


def test_the_first_frames_are_read_without_listing_the_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "long.mp4", frames=600, preset="ultrafast", **CLOSED)

    def listed(self: Decoder) -> FrameIndex:
        raise AssertionError("the packets were listed")

    monkeypatch.setattr(Decoder, "index", listed)
    video = VideoFile(path)
    assert len(video) == 600
    assert [number_in(video[i]) for i in range(30)] == list(range(30))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each frame that is decoded."""
    counted: list[int] = []
    original = Decoder.next_frame

    def counting(self: Decoder) -> av.VideoFrame | None:
        counted.append(1)
        return original(self)

    monkeypatch.setattr(Decoder, "next_frame", counting)
    return counted


def test_reading_on_decodes_each_frame_once(tmp_path: Path, decoded: list[int]) -> None:
    video = VideoFile(write(tmp_path / "a.mp4", frames=60, **CLOSED), cache_bytes=0)
    for i in range(60):
        assert number_in(video[i]) == i
    assert len(decoded) == 60


def test_reading_backward_decodes_each_group_once(tmp_path: Path, decoded: list[int]) -> None:
    video = VideoFile(write(tmp_path / "a.mp4", frames=60, **CLOSED), cache_bytes=2**20)
    for i in range(59, -1, -1):
        assert number_in(video[i]) == i
    assert len(decoded) <= 60 + 5  # five groups


@pytest.mark.parametrize("order", [(59,), (59, 58), (59, 58, 3), (59, 58, 3, 30)], ids=str)
def test_what_is_kept_of_decoded_frames_is_bounded(
    tmp_path: Path, order: tuple[int, ...], decoded: list[int]
) -> None:
    path, kept = write(tmp_path / "a.mp4", frames=60, g="60"), []
    with av.open(str(path)) as film:
        frame_bytes = sum(plane.buffer_size for plane in next(film.decode(video=0)).planes)
    budget = 10 * HEIGHT * WIDTH * 3 // 2
    for asked in range(60):
        video = VideoFile(path, cache_bytes=budget)
        assert [number_in(video[i]) for i in order] == list(order)
        decoded.clear()
        assert number_in(video[asked]) == asked
        kept += [asked] if not decoded else []
        video.close()
    assert order[-1] in kept
    assert len(kept) * frame_bytes <= budget


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=mirrored)

    video = VideoFile(write(tmp_path / "a.mp4", frames=2, prepare=turn, crf="5"))
    expected = np.rot90(bar_code(1), degrees // 90)  # counter-clockwise, as FFmpeg says it
    expected = expected[:, ::-1] if mirrored else expected
    assert video.size == expected.shape[:2]
    assert np.abs(video[1].astype(int) - expected).mean() < 12


def test_the_shape_of_pixels_is_left_alone(tmp_path: Path) -> None:
    def stretch(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    video = VideoFile(write(tmp_path / "a.mp4", frames=2, prepare=stretch))
    assert video.size == (HEIGHT, WIDTH)


def write_gray16(path: Path, frames: int) -> None:
    ramp = np.linspace(74, 495, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray16le"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(ramp, format="gray16le")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_film_in_16_bit_gray_is_stretched_and_not_black(tmp_path: Path) -> None:
    write_gray16(tmp_path / "a.mkv", 12)
    found = VideoFile(tmp_path / "a.mkv")[11]
    assert found.min() == 0
    assert found.max() == 255
    given = VideoFile(tmp_path / "a.mkv", ImageOptions(contrast_limits=(0, 65535)))[11]
    assert given.max() == 2


def test_a_hole_in_a_file_costs_only_its_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mov", codec="mjpeg")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    video = VideoFile(path)
    found: dict[int, int | None] = {}
    for i in range(40):
        try:
            found[i] = number_in(video[i])
        except VideoError as error:
            assert f"frame {i} of 'a.mov'" in str(error)  # noqa: PT017 - some frames, not all
            found[i] = None
    broken = [i for i in found if found[i] is None]
    assert 0 < len(broken) < 8
    assert all(found[i] == i for i in range(40) if not broken[0] - 1 <= i <= broken[-1] + 1)


def test_a_film_that_begins_inside_a_group_starts_at_its_first_keyframe(tmp_path: Path) -> None:
    data = write(tmp_path / "whole.ts", frames=40, **{**CLOSED, "g": "10"}).read_bytes()
    (tmp_path / "late.ts").write_bytes(data[len(data) * 3 // 8 // 188 * 188 :])
    video = VideoFile(tmp_path / "late.ts")
    first = number_in(video[0])
    assert first % 10 == 0
    assert [number_in(video[i]) for i in range(len(video))] == list(range(first, 40))


@pytest.mark.parametrize("cut", [5, 17])
def test_a_film_that_was_cut_without_encoding_starts_at_the_cut(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "whole.mp4", **CLOSED)
    unedited = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with (
        av.open(str(tmp_path / "whole.mp4")) as whole,
        av.open(str(tmp_path / "cut.mp4"), "w", options=unedited) as out,
    ):
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                ticks = int(cut / 25 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                out.mux(packet)
    for order in (range(40 - cut), random.Random(0).sample(range(40 - cut), 40 - cut)):
        video = VideoFile(tmp_path / "cut.mp4", cache_bytes=0)
        assert len(video) == 40 - cut
        assert [number_in(video[i]) - cut for i in order] == list(order)


def test_a_closed_video_says_so(tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / "a.mp4", frames=3))
    video.close()
    for frame_index in (0, 2):
        with pytest.raises(VideoError, match=r"'a.mp4' was closed; open it again"):
            video[frame_index]


@pytest.mark.parametrize("content", [b"", b"not a film\n" * 200, bytes(5000)])
def test_a_file_that_is_no_video_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"'a.mp4'") as refused:
        VideoFile(tmp_path / "a.mp4")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("cover", [False, True])
def test_a_file_with_sound_only_is_refused(tmp_path: Path, cover: bool) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        picture = cover_of(container) if cover else None
        stream = container.add_stream("aac", rate=44100)
        if picture is not None:
            image = av.VideoFrame.from_ndarray(np.zeros((640, 640, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(image))
        container.mux(stream.encode(silence(0)))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        VideoFile(tmp_path / "sound.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_and_the_picture_of_a_cover_are_not_the_film(tmp_path: Path, name: str) -> None:
    in_any_order(write(tmp_path / name, cover=name == "a.mp4", sound=True, **CLOSED))


def test_a_file_without_a_readable_frame_is_refused(tmp_path: Path) -> None:
    data = bytearray(faststart(tmp_path / "a.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"no frame of 'a.mp4' can be decoded"):
        VideoFile(tmp_path / "a.mp4")


@pytest.mark.parametrize("frame_index", [-1, 40, 1000])
def test_a_frame_that_does_not_exist_is_refused(tmp_path: Path, frame_index: int) -> None:
    video = VideoFile(write(tmp_path / "a.mp4"))
    with pytest.raises(VideoError, match=rf"frame {frame_index} does not exist; the video has frames 0..39"):
        video[frame_index]


def test_a_colon_in_the_name_of_a_file_is_no_protocol(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.mp4", frames=3).rename(tmp_path / "t:0 50%.mp4")
    assert len(VideoFile(path)) == 3


def test_the_index_sorts_frames_by_time_and_leaves_out_what_no_keyframe_precedes() -> None:
    stamps = [
        Stamp(1, 0, False),
        Stamp(5, 1, True),
        Stamp(4, 2, False),
        Stamp(9, 3, False),
        Stamp(7, 4, True),
    ]
    index = FrameIndex(stamps)
    assert [index.number(time) for time in (1, 4, 5, 7, 9, 8, None)] == [None, None, 0, 1, 2, None, None]
    assert [index.key_before(i) for i in range(3)] == [0, 1, 1]
    assert [tuple(start) for start in index.starts(2)] == [(7, 1), (4, 1), (5, 0), (1, 0), (None, 0)]
    assert not FrameIndex([*stamps, Stamp(5, 5, False)]).exact
    assert len(FrameIndex([Stamp(-2, 0, True, False), Stamp(0, 1, False), Stamp(2, 2, True)])) == 2
    assert len(FrameIndex([Stamp(None, 0, True), Stamp(None, 1, False)])) == 2

import warnings
from pathlib import Path

import pytest

from sam2_core import open_video
from sam2_core.errors import VideoError
from sam2_core.videos import IncompleteVideoWarning
from sam2_core.videos.files import VideoFile
from sam2_core.videos.truncation import promised_bytes
from tests.films_for_tests import CLOSED, faststart, number_in, write

VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "12"}
KINDS = {
    "a.mkv": ("libx264", CLOSED),
    "a.webm": ("libvpx-vp9", VP9),
    "a.avi": ("mjpeg", {}),
    "a.mov": ("mjpeg", {}),
}


def written(path: Path) -> Path:
    if path.name == "web.mp4":
        return faststart(path)
    codec, options = KINDS[path.name]
    container = {"movflags": "faststart"} if path.suffix == ".mov" else {}
    return write(path, frames=60, codec=codec, container_options=container, **options)


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@pytest.mark.parametrize("name", [*KINDS, "web.mp4"])
@pytest.mark.parametrize("part", [0.75, 0.9])
def test_a_film_that_is_cut_off_warns_once_and_gives_what_it_has(
    tmp_path: Path, name: str, part: float
) -> None:
    path = cut(written(tmp_path / name), part)
    with pytest.warns(IncompleteVideoWarning) as caught:
        video = VideoFile(path)
    assert 5 < len(video) < 60
    assert [number_in(frame) for frame in video] == list(range(len(video)))
    for frame_index in (len(video) - 1, 0, len(video) // 2):
        assert number_in(video[frame_index]) == frame_index
    about = "about " if name in ("a.mkv", "a.webm") else ""
    (warning,) = caught
    size = path.stat().st_size
    assert f"{name!r} is cut off after {size} of at least" in str(warning.message)
    assert f": {len(video)} frames of {about}60 are there and can be used" in str(warning.message)
    with pytest.raises(VideoError, match=f"frame {len(video)} does not exist"):
        video[len(video)]


@pytest.mark.parametrize("name", [*KINDS, "web.mp4"])
def test_a_whole_film_gives_no_warning(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    assert promised_bytes(path) == path.stat().st_size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(VideoFile(path)) == 60
        path.write_bytes(path.read_bytes() + b"\0garbage at the end" * 9)
        assert len(VideoFile(path)) == 60


def test_a_film_that_misses_no_frame_gives_no_warning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes()[:-100])  # a part of the index
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(VideoFile(path)) == 60


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_wherever_a_film_is_cut_off_its_frames_have_no_hole(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, frames=60, container_options={"movflags": "faststart"}, **CLOSED)
    data = path.read_bytes()
    for length in range(len(data) * 2 // 3, len(data) * 5 // 6, 17):
        path.write_bytes(data[:length])
        with pytest.warns(IncompleteVideoWarning):
            video = VideoFile(path)
        assert [number_in(frame) for frame in video] == list(range(len(video)))


def test_the_warning_points_to_the_line_of_the_user(tmp_path: Path) -> None:
    path = cut(written(tmp_path / "a.avi"), 0.5)
    with pytest.warns(IncompleteVideoWarning) as caught:
        open_video(path)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_film_whose_header_is_lost_says_how_much_of_it_is_there(tmp_path: Path, part: float) -> None:
    path = cut(write(tmp_path / "a.mp4", codec="mpeg4", frames=60), part)
    with pytest.raises(VideoError, match=r"cannot read 'a.mp4' as a video: .* of at least \d+ bytes; copy"):
        VideoFile(path)


@pytest.mark.parametrize("packet", [49, 60, 70])
def test_a_packet_of_an_unknown_stream_costs_its_frame_only(tmp_path: Path, packet: int) -> None:
    path = write(tmp_path / "a.ts", codec="mpeg2video", frames=40, g="5")
    data = bytearray(path.read_bytes())
    data[188 * packet + 2] ^= 1  # the number of its stream: PyAV raises IndexError
    path.write_bytes(data)
    video = VideoFile(path)
    assert len(video) == 39
    seen = {}
    for frame_index in range(39):
        try:
            seen[frame_index] = number_in(video[frame_index])
        except VideoError as error:
            assert "cannot be decoded" in str(error)  # noqa: PT017 - those that need the lost one
    assert len(seen) > 33
    numbers = list(seen.values())
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("part", [0.6, 0.7, 0.9])
def test_fragments_that_are_cut_off_give_what_they_have(tmp_path: Path, part: float) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    path = cut(write(tmp_path / "a.mp4", frames=60, container_options=fragments, **CLOSED), part)
    with pytest.warns(IncompleteVideoWarning, match="frames of an unknown number are there"):
        video = VideoFile(path)
    assert [number_in(frame) for frame in video] == list(range(len(video)))


@pytest.mark.parametrize(
    ("data", "promised"),
    [
        (b"", None),
        (b"\x1aE\xdf\xa3", None),
        (b"\x1aE\xdf\xa3\x81_\x18S\x80g\x82..", 13),
        (b"\x1aE\xdf\xa3\x81_\x18S\x80g\x40\x05", 12 + 5),
        (b"\x1aE\xdf\xa3\x81_\x18S\x80g\x01" + b"\xff" * 7, None),  # live: the length is not known
        (b"RIFF\x10\0\0\0AVI ", 24),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat", 24),  # to the end of the file
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat\0\0\0\0\0\0\x01\0", 16 + 256),
        (b"GIF89a\1\0\1\0\0\0\0\x3b", 0),
        (b"GIF89a\1\0\1\0\0\0\0", 14),
        (b"no container", None),
    ],
)
def test_containers_say_how_long_they_are(tmp_path: Path, data: bytes, promised: int | None) -> None:
    (tmp_path / "a").write_bytes(data)
    assert promised_bytes(tmp_path / "a") == promised

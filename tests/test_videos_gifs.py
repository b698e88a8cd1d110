import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2_core.errors import VideoError
from sam2_core.videos import IncompleteVideoWarning
from sam2_core.videos.files import VideoFile
from sam2_core.videos.gifs import CONTROL, completed
from tests.films_for_tests import bar_code, number_in

FRAMES = [Image.fromarray(bar_code(number)) for number in range(20)]


def save(path: Path, **options: object) -> bytes:
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], **options)
    return path.read_bytes()


def without_controls(data: bytes, share: float = 1) -> bytes:
    """The GIF without so many of its control extensions."""
    chance = random.Random(0)
    return re.sub(
        rb"\x21\xf9\x04....\x00", lambda m: b"" if chance.random() < share else m[0], data, flags=re.DOTALL
    )


@pytest.mark.parametrize("delays", [None, 0, 10, 100, [0, 100] * 10], ids=str)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_all_frames_are_read_whatever_their_delays(tmp_path: Path, delays: object, share: float) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(without_controls(save(path, **({} if delays is None else {"duration": delays})), share))
    for order in (range(20), random.Random(1).sample(range(20), 20), range(19, -1, -1)):
        video = VideoFile(path, cache_bytes=0)
        assert len(video) == 20
        assert [number_in(video[i]) for i in order] == list(order)


def test_the_old_version_without_extensions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "A.GIF"
    path.write_bytes(without_controls(save(tmp_path / "a.gif")).replace(b"GIF89a", b"GIF87a"))
    assert [number_in(frame) for frame in VideoFile(path)] == list(range(20))


def test_a_gif_that_is_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    data = without_controls(save(path))
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(IncompleteVideoWarning):
        video = VideoFile(path)
    assert 5 < len(video) < 15
    assert [number_in(frame) for frame in video] == list(range(len(video)))


@pytest.mark.parametrize("share", [0, 1])
def test_wherever_a_gif_is_cut_off_it_warns_and_gives_whole_frames(tmp_path: Path, share: float) -> None:
    path, data = tmp_path / "a.gif", without_controls(save(tmp_path / "b.gif", duration=50), share)
    lengths = set()
    for length in [*range(len(data) * 2 // 3, len(data) - 1, 61), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.warns(IncompleteVideoWarning, match="frames of an unknown number are there"):
            video = VideoFile(path)
        assert [number_in(frame) for frame in video] == list(range(len(video)))
        lengths.add(len(video))
    assert min(lengths) > 5
    assert max(lengths) == 20  # only the trailer is missing
    path.write_bytes(data[:60])
    with pytest.raises(VideoError, match="cut off after 60 of at least 61 bytes"):
        VideoFile(path)


def test_a_complete_gif_is_read_as_it_is(tmp_path: Path) -> None:
    data = save(tmp_path / "a.gif", duration=50, transparency=0)
    whole = completed(data) or data
    assert completed(whole) is None
    assert len(whole) - len(data) in (0, len(CONTROL))  # Pillow may leave out the first


@given(st.binary(max_size=60), st.integers(0, 60))
def test_anything_may_stand_in_a_gif(data: bytes, place: int) -> None:
    completed(data)
    completed(b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe\0" * (place % 3) + data[place:])

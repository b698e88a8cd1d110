"""Videos on the development data beside the repository, if it is there."""

import numpy as np
import pytest

from sam2_core.videos import open_source
from tests.skips import DATA, SHARED

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{DATA}no folder {SHARED}")


def test_a_real_film_is_read_in_any_order() -> None:
    video = open_source(SHARED / "bedroom.mp4")
    assert (len(video), video.size, video.frame_rate) == (200, (540, 960), 30)
    forward = [video[i].sum() for i in range(0, 60)]
    other = open_source(SHARED / "bedroom.mp4")
    order = [59, 58, 57, 3, 40, 0, 20]
    assert [other[i].sum() for i in order] == [forward[i] for i in order]
    assert len(set(forward)) == 60


def test_a_folder_of_photographs_is_read() -> None:
    video = open_source(SHARED / "davis16_dog" / "images")
    assert (len(video), video.size) == (60, (480, 854))
    assert video.names[:2] == ("00000", "00001")
    assert video[59].shape == (480, 854, 3)


def test_dark_cells_in_16_bit_are_seen() -> None:
    video = open_source(SHARED / "ctc_ilastik_Fluo-N2DH-SIM_01" / "images")
    assert (len(video), video.size) == (10, (534, 495)) or (len(video), video.size) == (10, (495, 534))
    frame = video[0]
    assert (frame.min(), frame.max()) == (0, 255)
    assert np.array_equal(frame[..., 0], frame[..., 2])
    assert 20 < frame.mean() < 200


@pytest.mark.parametrize("source", ["movie", "movie/stack.tif"])
def test_a_float_stack_is_read(source: str) -> None:
    video = open_source(SHARED / "celldetective_demo" / "W1" / "100" / source)
    assert len(video) == 6
    assert sorted(video.size) == [179, 185]
    assert 60 < video[5].mean() < 200

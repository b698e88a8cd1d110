"""The overlay as a video that plays, and as a picture."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from sam2_core.errors import ExportError
from sam2_core.exporters import overlay
from sam2_core.results import Masklet
from tests.masklets_for_tests import Grey, box, frame, masklets_of


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        return frames, stream.average_rate, stream.codec_context.name, stream.codec_context.pix_fmt


@pytest.mark.parametrize("size", [(48, 64), (49, 63), (180, 121), (1, 1), (3, 40)])
def test_the_video_has_all_known_frames_and_an_even_size(tmp_path, size):
    masklets = masklets_of(
        {1: {t: box(size, 0, 0, size[0] // 2 + 1, 3) for t in (0, 2, 3, 7)}, 2: {9: box(size, 0, 0, 1, 1)}}
    )
    path = overlay.export(masklets, Grey(size), tmp_path)
    frames, rate, codec, pixels = decoded(path)
    assert path == tmp_path / "overlay.mp4"
    assert len(frames) == 5
    assert frames[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert rate == 10
    assert codec == ("h264" if "libx264" in av.codecs_available else "mpeg4")
    assert pixels == "yuv420p"


@pytest.mark.parametrize("rate", [24.0, 30000 / 1001, 1, 1000])
def test_the_rate_is_that_of_the_video(tmp_path, rate):
    size = (32, 32)
    masklets = masklets_of({1: {t: box(size, 0, 0, 9, 9) for t in range(4)}})
    frames, found, _, _ = decoded(overlay.export(masklets, Grey(size, 4, rate), tmp_path))
    assert float(found) == pytest.approx(rate, rel=1e-3)
    assert len(frames) == 4


def test_a_time_lapse_is_not_played_in_real_time(tmp_path):
    masklets = masklets_of({1: {t: box((32, 32), 0, 0, 9, 9) for t in range(2)}})
    assert decoded(overlay.export(masklets, Grey((32, 32), 4, 1 / 3600), tmp_path))[1] == 10


def test_one_frame_is_a_picture_and_takes_the_place_of_our_film_alone(tmp_path):
    one, two = ({1: {t: box((31, 33), 0, 0, 9, 9) for t in range(n)}} for n in (1, 2))
    (tmp_path / "overlay.png").write_bytes(b"mine")
    assert overlay.export(masklets_of(two), Grey((31, 33)), tmp_path).name == "overlay.mp4"
    assert (tmp_path / "overlay.png").read_bytes() == b"mine"
    path = overlay.export(masklets_of(one), Grey((31, 33)), tmp_path)
    assert Image.open(path).size == (33, 31)
    assert not (tmp_path / "overlay.mp4").exists()
    assert overlay.export(masklets_of(two), Grey((31, 33)), tmp_path).exists()
    assert not path.exists()


def test_a_missing_encoder_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    masklets = masklets_of({1: {t: box((40, 40), 0, 0, 9, 9) for t in range(3)}})
    frames, _, codec, _ = decoded(overlay.export(masklets, Grey((40, 40)), tmp_path))
    assert (len(frames), codec) == (3, "mpeg4")


def test_all_frames_are_shown_when_nothing_was_found(tmp_path):
    frames, *_ = decoded(overlay.export({}, Grey((32, 32), 5), tmp_path))
    assert len(frames) == 5


def test_a_video_without_frames_is_refused(tmp_path):
    with pytest.raises(ExportError, match="no frames yet"):
        overlay.export({}, Grey((32, 32), 0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_masks_are_in_their_colour_and_the_rest_is_as_it_was(tmp_path):
    size = (120, 160)
    mask = box(size, 20, 20, 80, 60)
    masklets = {3: Masklet(3, {0: frame(mask), 1: frame(mask, source="prompted")})}
    video = Grey(size, 2)
    plain, prompted = decoded(overlay.export(masklets, video, tmp_path))[0]
    expected = 90 * (1 - overlay.OPACITY) + np.multiply(overlay.colour(3), overlay.OPACITY)
    assert np.abs(plain[30:35, 30:35].mean((0, 1)) - expected).max() < 12
    assert np.abs(plain[110:, 120:].astype(int) - 90).max() < 12
    image = overlay.draw(video[1], {3: masklets[3][1]})
    assert (image[20, 20:80] == 255).all()
    assert (overlay.draw(video[0], {3: masklets[3][0]})[20, 20:80] == overlay.colour(3)).all()
    assert prompted.mean() > plain.mean()
    assert np.array_equal(image[~mask], video[1][~mask])


def test_the_frame_itself_is_not_painted_on():
    image = np.full((60, 60, 3), 90, np.uint8)
    image.setflags(write=False)
    overlay.draw(image, {1: frame(box((60, 60), 5, 5, 40, 40))})
    assert (image == 90).all()


def test_the_number_lies_on_the_object():
    mask = box((50, 50), 5, 5, 40, 40) & ~box((50, 50), 10, 10, 30, 30)
    x, y = overlay.label_place(frame(mask).encoded)
    assert mask[y, x]


def test_colours_are_stable_and_tell_neighbours_apart():
    colours = np.array([overlay.colour(i) for i in range(1, 25)], int)
    assert overlay.colour(1) == tuple(colours[0])
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)
    near = np.abs(np.subtract.outer(np.arange(24), np.arange(24))) <= 4
    assert distances[near & ~np.eye(24, dtype=bool)].min() > 60
    assert distances[~np.eye(24, dtype=bool)].min() > 20

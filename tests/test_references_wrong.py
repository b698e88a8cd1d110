"""Where the published implementations are wrong, ours is right (each test names what happens there)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from sam2_core import LiveVideo, Point, Prompt, Session, open_video
from sam2_core.bench.random_networks import random_network
from sam2_core.bench.theirs import same_network
from sam2_core.models.config import config
from sam2_core.models.preprocess import preprocess
from sam2_core.models.prompt_encoder import PointPrompts
from sam2_core.tracking.sam2_model import Sam2Model
from tests.conftest import model
from tests.models_for_tests import Recording
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks

SAM2 = model("sam2")
SIZE = SAM2.network.config.image_size  # type: ignore[attr-defined]


def test_a_second_click_sees_the_clamped_logits_of_the_first() -> None:
    """In transformers refinement clicks never get the previous logits."""
    recording = Recording(SAM2)
    session = Session(Disks(), recording)  # type: ignore[arg-type]
    first = Prompt(0, 1, (Point(10, 12),))
    session.add_prompt(first)
    session.add_prompt(first.with_point(30, 30, positive=False))
    one, two = (answer.raw.logits_11hw for answer in recording.answers)
    network = SAM2.network  # type: ignore[attr-defined]
    places = torch.tensor([[[10 * SIZE / 64, 12 * SIZE / 48], [30 * SIZE / 64, 30 * SIZE / 48]]])
    points = PointPrompts(places, torch.tensor([[1, 0]]))
    with torch.inference_mode():
        features = network.encode_image(preprocess(Disks()[0], SIZE))
        expected = network.segment(features, points, None, one.clamp(-32, 32), multimask=False)
        without = network.segment(features, points, None, None, multimask=False)
    assert torch.equal(two, expected.logits_n1hw)
    assert not torch.equal(two, without.logits_n1hw)


def test_a_late_click_is_kept_by_us_and_lost_by_transformers() -> None:
    """There a click on a tracked frame changes that frame's answer, and the next propagation forgets it."""
    network = random_network(config("sam2.1-tiny").at_size(64))
    video = Disks(17)
    ours, theirs = (
        Session(video, Sam2Model(network, "tiny", torch.device("cpu"), "exact")),
        same_network(network),
    )
    pixels = torch.cat([preprocess(video[i], 64) for i in range(len(video))])
    state = Sam2VideoInferenceSession(pixels, *video.size, dtype=torch.float32)

    def click_there(frame_index: int, x: float, y: float) -> None:
        points = torch.tensor([[[[x, y]]]])
        state.add_point_inputs(
            state.obj_id_to_idx(1),
            frame_index,
            {"point_coords": points, "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)},
        )
        state.obj_with_new_inputs.append(1)

    def propagate_there() -> dict[int, torch.Tensor]:
        return {
            o.frame_idx: o.pred_masks for o in theirs.propagate_in_video_iterator(state, start_frame_idx=0)
        }

    click_there(0, 10.0, 16.0)
    theirs(state, frame_idx=0)
    before = propagate_there()
    click_there(5, 50.0, 40.0)
    clicked = theirs(state, frame_idx=5).pred_masks
    assert not torch.equal(clicked, before[5])
    after = propagate_there()
    assert torch.equal(after[5], before[5])  # lost: as if nobody had clicked

    ours.add_prompt(Prompt(0, 1, (Point(10, 12),)))
    list(ours.propagate())
    old = ours.masklets()
    kept = ours.add_prompt(Prompt(5, 1, (Point(50, 30),))).mask(1)
    list(ours.propagate())
    assert np.array_equal(ours.masklets()[1].mask(5), kept)
    assert not same(old, ours.masklets())


def test_results_do_not_depend_on_how_many_frames_come_later() -> None:
    """In the release a video of fewer than 16 frames has other pointers, and one frame divides by zero."""
    masks = []
    for video in (Disks(10), Disks(40), _live(10)):
        session = Session(video, SAM2)
        session.add_prompt(click(0))
        masks.append([r.mask(1) for r, _ in zip(session.propagate(), range(10), strict=False)])
    assert all(np.array_equal(a, b) for a, b in zip(masks[0], masks[1], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(masks[0], masks[2], strict=True))


def _live(frames: int) -> LiveVideo:
    live = LiveVideo()
    for i in range(frames):
        live.append(Disks()[i])
    return live


def test_a_folder_an_array_and_a_film_give_the_network_the_same_pixels(tmp_path: Path) -> None:
    """The release resizes folders, films and images with three different resamplers."""
    frames = np.stack([Disks()[i] for i in range(4)])
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
    for source in (tmp_path / "frames", tmp_path / "film.mkv", frames):
        video = open_video(source)
        for i in range(4):
            assert torch.equal(preprocess(video[i], SIZE), preprocess(frames[i], SIZE))


@pytest.mark.parametrize("precision", ["auto", "exact"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_every_documented_option_works(precision: str, device: str) -> None:
    """In transformers the documented default dtype "float32" raises TypeError."""
    from sam2_core.models import devices

    found = Sam2Model(
        random_network(config("nano").at_size(64)),
        "n",
        devices.choose(device),
        devices.check_precision(precision),
    )
    session = Session(Disks(3), found)
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    assert [len(r) for r in session.propagate()] == [2, 2, 2]

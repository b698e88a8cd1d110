"""Whole propagations, frame by frame, against the transformers library with the same random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from sam2_core import Box, Point, Prompt, Session, open_video
from sam2_core.bench.films import textured_frame
from sam2_core.bench.random_networks import random_network
from sam2_core.bench.theirs import same_network
from sam2_core.models.config import config
from sam2_core.models.preprocess import preprocess
from sam2_core.tracking import sam2_prompts
from sam2_core.tracking.sam2_model import Sam2Model
from tests.models_for_tests import Recording
from tests.skips import shared_data

SIZE, FRAMES = 128, 22
TOLERANCE = 1e-2
"""Largest difference of a logit after at least ten tracked frames; 1e-3 on prompted ones."""

Logits = dict[tuple[int, int], NDArray[np.float32]]
"""(object, frame) -> ``(height / 4, width / 4)``."""


class Frames:
    """A few frames as a Video."""

    def __init__(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        self._frames, self.size = frames, frames[0].shape[:2]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, frame_index: int) -> NDArray[np.uint8]:
        return self._frames[frame_index]


@cache
def frames() -> Frames:
    """Real frames where the development data is at hand, a panned texture elsewhere."""
    path = shared_data("bedroom.mp4")
    if path is not None:
        video = open_video(path)
        return Frames([video[2 * i] for i in range(FRAMES)])
    wide = textured_frame(3, (270, 480 + 4 * FRAMES))
    return Frames([np.ascontiguousarray(wide[:, 4 * i : 4 * i + 480]) for i in range(FRAMES)])


@pytest.fixture(scope="module", params=["sam2-tiny", "sam2.1-tiny"])
def pair(request: pytest.FixtureRequest) -> tuple[Sam2Model, Sam2VideoModel]:
    network = random_network(config(request.param).at_size(SIZE))
    return Sam2Model(network, request.param, torch.device("cpu"), "exact"), same_network(network)


def ours(model: Sam2Model, prompts: Sequence[Prompt]) -> tuple[Logits, Session]:
    """All logits of a canonical propagation, and the session."""
    recording = Recording(model)
    session = Session(frames(), recording)  # type: ignore[arg-type]
    found: Logits = {}
    for prompt in prompts:
        session.add_prompt(prompt)
        raw = recording.answers[-1].raw
        found[prompt.object_id, prompt.frame_index] = raw.logits_11hw[0, 0].numpy()
    recording.answers.clear()
    for result in session.propagate():
        known = [i for i in result.object_ids if (i, result.frame_index) not in found]
        for object_id, segmentation in zip(known, recording.answers, strict=True):
            found[object_id, result.frame_index] = segmentation.raw.logits_11hw[0, 0].numpy()
        recording.answers.clear()
    return found, session


def theirs(model: Sam2VideoModel, prompts: Sequence[Prompt]) -> Logits:
    """The same through transformers: prompts, then forward, then backward from the first prompted frame."""
    video = frames()
    pixels = torch.cat([preprocess(video[i], SIZE) for i in range(FRAMES)])
    session = Sam2VideoInferenceSession(pixels, *video.size, dtype=torch.float32)
    found: Logits = {}

    def keep(output: object) -> None:
        for object_id, logits in zip(output.object_ids, output.pred_masks, strict=True):  # type: ignore[attr-defined]
            found[object_id, output.frame_idx] = logits[0].numpy()  # type: ignore[attr-defined]

    for frame_index in sorted({p.frame_index for p in prompts}):
        for prompt in (p for p in prompts if p.frame_index == frame_index):
            points = sam2_prompts.to_points(prompt, video.size, SIZE, torch.device("cpu"))
            index = session.obj_id_to_idx(prompt.object_id)
            inputs = {"point_coords": points.coords_np2[None], "point_labels": points.labels_np[None]}
            session.add_point_inputs(index, frame_index, inputs)
            session.obj_with_new_inputs.append(prompt.object_id)
        keep(model(session, frame_idx=frame_index))
    first = min(p.frame_index for p in prompts)
    for reverse in (False, True):
        for output in model.propagate_in_video_iterator(session, start_frame_idx=first, reverse=reverse):
            keep(output)
    return found


CASES = {
    "two objects, a click and a box": [
        Prompt(11, 1, (Point(300, 150),)),
        Prompt(11, 2, box=Box(100, 60, 260, 240)),
    ],
    "two prompted frames, one ahead of the tracked ones": [
        Prompt(6, 1, (Point(300, 150),)),
        Prompt(13, 1, box=Box(240, 100, 380, 220)),
    ],
}


@pytest.mark.parametrize("prompts", CASES.values(), ids=CASES.keys())
def test_tracking_forward_and_backward_equals_transformers(
    pair: tuple[Sam2Model, Sam2VideoModel], prompts: list[Prompt]
) -> None:
    model, reference = pair
    expected = theirs(reference, prompts)
    found, session = ours(model, prompts)
    assert found.keys() == expected.keys()
    assert len(found) == FRAMES * len({p.object_id for p in prompts})
    prompted = {(p.object_id, p.frame_index) for p in prompts}
    for key, logits in found.items():
        assert np.abs(logits - expected[key]).max() <= (1e-3 if key in prompted else TOLERANCE), key
    assert_same_masks(session, expected)


def assert_same_masks(session: Session, expected: Logits) -> None:
    """Our masks at the size of the video against plain bilinear interpolation of the reference's logits."""
    shares = []
    for (object_id, frame_index), logits in expected.items():
        full = torch.nn.functional.interpolate(
            torch.from_numpy(logits)[None, None], session.video.size, mode="bilinear", align_corners=False
        )
        mask = (full[0, 0] > 0).numpy()
        shares.append((mask == session.masklets()[object_id].mask(frame_index)).mean())
    assert min(shares) >= 0.999

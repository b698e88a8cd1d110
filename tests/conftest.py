"""Models and a source that tests share, and no silent skips."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in parallel processes instead; before torch
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from sam2_core import Session
from sam2_core.hookspecs import VideoModel
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.videos_for_tests import Disks

__all__ = ["MODELS", "model", "pytest_make_collect_report", "pytest_runtest_makereport"]

settings.register_profile("untimed", settings(), deadline=None)  # machines are slow at times
settings.load_profile("untimed")

MODELS = ("copy", "sam2", "windows")
"""The contract holds for SAM 2, for SAM 2 with windows, and for a model that is not SAM 2."""


@cache
def model(name: str) -> VideoModel:
    """A baseline, or a nano with random weights (seed 0) that sees every object; float32.

    With windows it uses them whenever an object fits into half a frame.
    """
    if name == "copy":
        from sam2_core.tracking.trivial import CopyModel

        return CopyModel()
    import torch

    from sam2_core.models.checkpoints import build
    from sam2_core.models.config import config
    from sam2_core.tracking.sam2_model import Sam2Model
    from sam2_core.tracking.windowed_model import WindowedModel
    from sam2_core.tracking.windows import Windows

    torch.manual_seed(0)
    network = build(config("nano").at_size(32 if name == "windows" else 64))
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias += 8
    sam2 = Sam2Model(network, "random", torch.device("cpu"), "exact")
    return WindowedModel(sam2, Windows(32, 3 / 4, (1 / 10, 1.0), worth=1.0)) if name == "windows" else sam2


@pytest.fixture(scope="session")
def nano() -> VideoModel:
    """The bundled model, with its windows."""
    from sam2_core import load_model

    return load_model("nano", device="cpu")


@pytest.fixture(params=MODELS)
def open_it(request: pytest.FixtureRequest) -> Iterator[Callable[[Disks], Session]]:
    """Opens sessions of each model, which say how often it was called."""
    from sam2_core import open_session
    from tests.models_for_tests import Counting

    sessions: list[Session] = []

    def open_one(video: Disks) -> Session:
        sessions.append(open_session(video, model=Counting(model(request.param))))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


@pytest.fixture
def session(open_it: Callable[[Disks], Session]) -> Session:
    """A session of each model on two moving disks."""
    return open_it(Disks())


@pytest.fixture
def bare(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """napari without a picture and without the panel."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    from tests.napari_for_tests import Window

    found = Window(make_napari_viewer(show=True), qtbot)
    found.told()  # of the test before
    yield found
    found.close()


@pytest.fixture
def empty(bare: Any) -> Any:
    """napari without a picture, and the panel."""
    bare.dock()
    return bare


@pytest.fixture
def window(bare: Any) -> Any:
    """napari with the sample data and the panel."""
    bare.viewer.open_sample("sam2-core", "timelapse")
    bare.dock()
    return bare


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of twelve frames of two moving disks, 64 x 48; beside it ``mask.png``, one disk."""
    np.save(tmp_path / "disks.npy", np.stack([Disks()[i] for i in range(12)]))
    Image.fromarray(Disks().mask(0).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    return tmp_path / "disks.npy"

"""The sample data of the napari plugin."""

from __future__ import annotations

import numpy as np
from napari.layers import Image, Layer
from npe2 import PluginManifest
from sam2_napari.layer_video import axes_of, layer_video
from sam2_napari.reader import DOCK
from sam2_napari.samples import timelapse

from sam2_core import open_video
from sam2_core.samples import TIMELAPSE


def test_the_sample_is_the_time_lapse_of_the_demo_ready_to_be_followed() -> None:
    (described,) = timelapse()
    layer = Layer.create(*described)
    assert isinstance(layer, Image)
    assert (layer.name, layer.axis_labels) == ("time-lapse", ("t", "y", "x"))
    video, expected = layer_video(layer, axes_of(layer), (0, 0, 0)), open_video(TIMELAPSE)
    assert (len(video), video.size) == (16, (256, 256))
    assert all(np.array_equal(video[i], expected[i]) for i in range(16))


def test_the_sample_is_neither_dark_nor_burnt_out() -> None:
    (described,) = timelapse()
    layer = Layer.create(*described)
    video = layer_video(layer, axes_of(layer), (0, 0, 0), contrast="layer")
    for frame in (video[0], video[15]):
        assert len(np.unique(frame)) > 200
        assert np.mean(frame == 255) < 0.05
        assert np.mean(frame == 0) < 0.05


def test_the_manifest_is_one_that_npe2_takes() -> None:
    manifest = PluginManifest.from_distribution("sam2-core")
    manifest.validate_imports()
    assert manifest.name == "sam2-core"
    shown = manifest.contributions
    assert [widget.display_name for widget in shown.widgets] == ["Segment and track"]
    assert f"{shown.widgets[0].display_name} ({manifest.display_name})" == DOCK
    assert [pattern for reader in shown.readers for pattern in reader.filename_patterns] == ["*.sam2"]

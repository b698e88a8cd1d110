"""The sample data of the napari plugin, its manifest, what it needs, and tests that need a screen."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Layer
from npe2 import PluginManifest
from packaging.requirements import Requirement
from sam2_napari.layer_video import axes_of, layer_video
from sam2_napari.reader import DOCK
from sam2_napari.samples import timelapse

from sam2_core import open_video
from sam2_core.samples import TIMELAPSE
from tests.napari_for_tests import NO_SCREEN

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "plugins" / "napari" / "sam2_napari" / "napari.yaml"
QT = {"pyqt5", "pyqt6", "pyside2", "pyside6"}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with these words behind it, without the variables that a test sets itself."""
    given = {name: value for name, value in os.environ.items() if name not in ("CI", "DISPLAY")}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=given | environment, capture_output=True, text=True
    )


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


def test_the_command_of_npe2_takes_the_manifest_and_all_that_it_names(tmp_path: Path) -> None:
    done = run("-m", "npe2", "validate", "--imports", str(MANIFEST))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout
    (tmp_path / "napari.yaml").write_text(MANIFEST.read_text().replace(":timelapse", ":time lapse"))
    assert run("-m", "npe2", "validate", str(tmp_path / "napari.yaml")).returncode != 0


def test_which_qt_there_is_is_left_to_the_user() -> None:
    needed = [Requirement(text) for text in importlib.metadata.requires("sam2-core") or []]
    plugin = [x for x in needed if x.marker is not None and x.marker.evaluate({"extra": "napari"})]
    assert {"napari", "qtpy"} <= {x.name for x in plugin}
    assert not {x.name.lower() for x in plugin} & QT
    assert not any(x.extras for x in plugin)  # napari[all] and napari[pyqt6] bring one
    everything = [x for x in needed if x.marker is None or x.marker.evaluate({"extra": "all"})]
    assert not {x.name.lower() for x in everything} & QT


@pytest.mark.parametrize("module", ["widget", "reader", "models"])
def test_no_module_of_the_plugin_loads_torch(module: str) -> None:
    done = run("-c", f"import sys, sam2_napari.{module}; print('torch' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stderr


@pytest.mark.parametrize("ci", [False, True])
def test_without_a_screen_a_file_of_windows_is_skipped_with_advice_and_fails_in_ci(
    tmp_path: Path, ci: bool
) -> None:
    words = ("-m", "pytest", "-q", "-rs", "-n", "0", "-p", "no:cacheprovider", "tests/test_napari_tour.py")
    done = run(*words, PATH=str(tmp_path), **({"CI": "1"} if ci else {}))
    shown = " ".join(done.stdout.split())
    if ci:
        assert done.returncode not in (0, 5)
        assert f"no test may be skipped here: {NO_SCREEN}" in shown
    else:
        assert done.returncode in (0, 5)  # 5: there was nothing else
        assert "1 skipped" in shown
        assert NO_SCREEN in shown

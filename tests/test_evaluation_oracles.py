"""The figures of the field's own programs, to the digits in which shared/EVALUATION.md prints them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import numpy as np
import pytest

from sam2_core import Masklet, plugins
from sam2_core.evaluation import cell_tracking, protocols
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.scores import Counted, mean, score
from sam2_core.evaluation.truth import Cells, Sequence, Truth
from sam2_core.types import Mask
from tests.masklets_for_tests import masklets_of
from tests.skips import shared_data

ROOT = Path(__file__).parents[1]
NUCLEI = "ctc_ilastik_Fluo-N2DH-SIM_01"


def sequence(name: str) -> Sequence:
    ((found,), _) = find_sequences(shared_data(name))
    return found


def tracked(found: Sequence, truth: Truth, model: str) -> dict[int, Masklet]:
    with found.open_session(plugins.load_model(model)) as session:
        return dict(protocols.semi_supervised(session, truth.of_first_frame(), protocols.paint))


def j_and_f(found: Sequence, truth: Truth, masklets: dict[int, Masklet]) -> tuple[float, float]:
    of = mean(score(masklets, truth.of_first_frame(), found.open().size, Counted.ALL).values())
    return round(of["J"], 3), round(of["J&F"], 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("davis16_blackswan", (0.545, 0.440)),
        ("davis16_dog", (0.327, 0.255)),
        ("davis16_car-shadow", (0.408, 0.330)),
        (NUCLEI, (0.616, 0.618)),
    ],
)
def test_copies_of_the_first_masks_have_the_figures_of_the_davis_code(name, expected):
    found = sequence(name)
    truth, _ = found.whole_truth()
    assert j_and_f(found, truth, tracked(found, truth, "copy")) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("davis16_blackswan", (0.725, 0.714)),
        ("davis16_car-shadow", (0.612, 0.593)),
    ],
)
def test_optical_flow_has_them_to_a_quarter_of_a_point(name, expected):
    """Which frames decode to which pixels differs a little from reader to reader."""
    found = sequence(name)
    truth, _ = found.whole_truth()
    assert j_and_f(found, truth, tracked(found, truth, "flow")) == pytest.approx(expected, abs=0.0025)


def test_copies_of_the_first_cells_have_the_figures_of_the_cell_tracking_challenge():
    """Cells of frame 0 only; those that come later are missed."""
    found = sequence(NUCLEI)
    truth, _ = found.whole_truth()
    of = cell_tracking.measure(tracked(found, truth, "copy"), truth, Cells(), found.open())
    assert {name: round(value, 4) for name, value in of.items()} == {
        "SEG": 0.578, "DET": 0.8558, "TRA": 0.8555, "LNK": 0.8529
    }  # fmt: skip


def test_labels_that_flow_moves_to_the_nearest_pixel_have_the_figures_of_both():
    """The floor "flow" of the microscopy case; our own tracker keeps masks soft and is a little better."""
    cv2 = pytest.importorskip("cv2")
    found = sequence(NUCLEI)
    truth, count = found.whole_truth()
    frames = nearest_flow(cv2, shared_data(NUCLEI), truth, count)
    of = cell_tracking.measure(frames, truth, Cells(), found.open())
    assert {name: round(value, 4) for name, value in of.items()} == {
        "SEG": 0.8032, "DET": 0.9313, "TRA": 0.9264, "LNK": 0.8873
    }  # fmt: skip
    assert j_and_f(found, truth, frames) == (0.832, 0.870)


def nearest_flow(cv2, folder: Path, truth: Truth, count: int) -> dict[int, Masklet]:
    """The masks of frame 0, warped as labels by DIS flow; 8 bits by the percentiles of every 10th frame."""
    import tifffile

    images = [tifffile.imread(folder / f"images/t{t:03d}.tif").astype(float) for t in range(count)]
    low, high = np.percentile(images[::10], [0.5, 99.8])
    gray = [np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8) for image in images]
    labels = tifffile.imread(folder / "masks/man_seg000.tif").astype(np.float32)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: dict[int, dict[int, Mask]] = {i: {0: labels == i} for i in truth.of_first_frame().objects}
    for t in range(1, count):
        flow = dis.calc(gray[t], gray[t - 1], None)
        rows, columns = np.indices(labels.shape, np.float32)
        labels = cv2.remap(labels, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_NEAREST)
        for i, masks in found.items():
            masks[t] = labels == i
    return masklets_of(found)


BROKEN = {"trackeval", "ytvos", "ytvoseval", "davisinteractive", "davis2017", "motmetrics", "traccuracy"}


def test_programs_that_numpy_2_breaks_are_needed_by_nobody():
    """Trap 10: neither imported, nor installed with the package or any of its extras."""
    used = {
        name.split(".")[0].lower()
        for file in (ROOT / "sam2_core").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in imported(node)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    needs = " ".join(need for needs in (project["dependencies"], *extras) for need in needs)
    assert "numpy" in used
    assert not used & BROKEN
    assert not [name for name in BROKEN if name in needs.lower().replace("-", "")]


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []

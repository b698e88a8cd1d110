"""AP over time: COCO's own on films of one frame, values by hand on longer ones, files as they come."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.evaluation.average_precision import (
    Instance,
    average_precision,
    overlap,
    read_results,
    read_truth,
)
from sam2_core.exporters import ytvis
from sam2_core.types import Mask
from tests.masklets_for_tests import Grey, box, masklets_of

SIDE = 320


def rle(mask: Mask | None) -> dict[str, Any] | None:
    return None if mask is None else masks.to_coco(masks.encode(mask))


def instance(*frames: Mask | None, video: int = 1, category: int = 1, score: float = 1.0) -> Instance:
    return Instance(video, category, tuple(rle(mask) for mask in frames), score)


def some_boxes(rng: np.random.Generator, count: int) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width, from small to large."""
    sizes = rng.choice([30, 90, 140, 220, 290], (count, 2))
    places = rng.integers(0, SIDE - 40, (count, 2))
    return [
        (top, left, min(height, SIDE - top), min(width, SIDE - left))
        for (top, left), (height, width) in zip(places.tolist(), sizes.tolist(), strict=True)
    ]


def random_images(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """True and predicted objects in five images, of three categories; some are crowds, some scores tie."""
    rng = np.random.default_rng(seed)
    true, predicted = [], []
    for image in range(1, 6):
        for place in some_boxes(rng, rng.integers(0, 6)):
            category = int(rng.integers(1, 4))
            true.append((image, category, place, float(rng.random() < 0.15)))
            for _ in range(rng.integers(0, 3)):
                moved = tuple(max(1, n + int(rng.integers(-12, 13))) for n in place)
                predicted.append((image, category, moved, round(float(rng.random()), 1)))
        for place in some_boxes(rng, rng.integers(0, 4)):
            predicted.append((image, int(rng.integers(1, 5)), place, round(float(rng.random()), 1)))
    return [[row(number, *of) for number, of in enumerate(rows, 1)] for rows in (true, predicted)]


def row(
    number: int, image: int, category: int, place: tuple[int, int, int, int], value: float
) -> dict[str, Any]:
    mask = box((SIDE, SIDE), *place)
    return {
        "id": number, "image_id": image, "category_id": category, "segmentation": rle(mask),
        "area": int(mask.sum()), "iscrowd": int(value == 1), "score": value,
    }  # fmt: skip


def by_coco(true: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> dict[str, float]:
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(1, 6)],
        "categories": [{"id": i} for i in (1, 2, 3, 4)],
        "annotations": true,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(predicted), "segm")
        evaluation.params.areaRng = [[0, 1e10], [0, 128**2], [128**2, 256**2], [256**2, 1e10]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large", "AR1", "AR10", "AR100")
    return {
        name: value if value >= 0 else math.nan for name, value in zip(names, evaluation.stats, strict=False)
    }


def as_instance(given: dict[str, Any]) -> Instance:
    video, category = given["image_id"], given["category_id"]
    return Instance(video, category, (given["segmentation"],), given["score"], bool(given["iscrowd"]))


@pytest.mark.parametrize("seed", range(12))
def test_films_of_one_frame_have_the_numbers_of_coco(seed):
    true, predicted = random_images(seed)
    expected = by_coco(true, predicted)
    found = average_precision(map(as_instance, predicted), map(as_instance, true))
    assert found == {name: pytest.approx(value, abs=1e-12, nan_ok=True) for name, value in expected.items()}
    assert 0 < found["AP"] < 1


def test_two_objects_with_overlaps_of_75_and_67_hundredths_have_the_values_of_the_youtube_vis_code():
    """IoU .7509 and .6667 over two frames: AP50 1, AP .501, as its code gives on such a pair."""
    size = (30, 40)
    one, other = box(size, 0, 0, 13, 21), box(size, 20, 0, 6, 10)  # 273 and 60 pixels
    part, third = one.copy(), other.copy()
    part.ravel()[np.flatnonzero(one)[137:]] = False
    third.ravel()[np.flatnonzero(other)[40:]] = False
    first, second = instance(part, one, score=0.9), instance(third, None, score=0.8)
    true = [instance(one, one), instance(other, None)]
    assert overlap(first, true[0]) == pytest.approx((137 + 273) / 546)
    assert overlap(second, true[1]) == pytest.approx(40 / 60)
    assert round(overlap(first, true[0]), 4) == 0.7509
    found = average_precision([first, second], true)
    # Four thresholds with both, two with the first alone (recall .5: 51 of 101 points), four with none.
    assert found["AP"] == pytest.approx((4 + 2 * 51 / 101) / 10)
    assert round(found["AP"], 3) == 0.501
    assert (found["AP50"], found["AP75"]) == (1, pytest.approx(51 / 101))


def test_the_overlap_is_summed_over_time_before_it_is_divided():
    """Right on one frame of 100 pixels, wrong on one of 20: 100 / 140 of both, not the mean of 1 and 0."""
    size = (30, 40)
    large, small, away = box(size, 0, 0, 10, 10), box(size, 20, 0, 4, 5), box(size, 20, 20, 4, 5)
    assert overlap(instance(large, away), instance(large, small)) == pytest.approx(100 / 140)
    assert overlap(instance(large, None), instance(large, small)) == pytest.approx(100 / 120)
    assert overlap(instance(None, None), instance(None, None)) == 0


def test_the_size_of_an_object_is_its_mean_area_while_it_is_visible():
    """200 x 200 on one frame, 100 x 100 on another, nothing on a third: 25,000 pixels are medium."""
    size = (SIDE, SIDE)
    frames = (box(size, 0, 0, 200, 200), box(size, 0, 0, 100, 100), None)
    assert instance(*frames).area == 25000
    found = average_precision([instance(*frames)], [instance(*frames)])
    assert (found["AP-medium"], found["AP"]) == (1, 1)
    assert math.isnan(found["AP-small"])
    assert math.isnan(found["AP-large"])


def test_categories_count_unless_any_will_do():
    mask = box((30, 40), 0, 0, 10, 10)
    guess, true = [instance(mask, category=7)], [instance(mask, category=1)]
    assert average_precision(guess, true)["AP"] == 0
    assert average_precision(guess, true, any_category=True)["AP"] == 1


def test_only_the_order_of_scores_counts_and_a_sure_mistake_costs_precision():
    right, wrong = box((30, 40), 0, 0, 10, 10), box((30, 40), 15, 20, 10, 10)
    true = [instance(right)]
    assert average_precision([instance(right, score=0.2), instance(wrong, score=0.1)], true)["AP"] == 1
    found = average_precision([instance(right, score=0.2), instance(wrong, score=0.9)], true)
    assert (found["AP"], found["AR1"], found["AR10"]) == (0.5, 0, 1)


def annotations(tmp_path: Path, *objects: Instance, length: int = 2) -> Path:
    document = {
        "videos": [{"id": 1, "height": 30, "width": 40, "length": length}],
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": i,
                "video_id": of.video_id,
                "category_id": of.category_id,
                "segmentations": of.rles,
                "iscrowd": 0,
            }
            for i, of in enumerate(objects)
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    return tmp_path / "instances.json"


def test_what_our_exporter_writes_is_read_as_results(tmp_path: Path):
    mask = box((30, 40), 3, 4, 10, 10)
    videos, truth = read_truth(annotations(tmp_path, instance(mask, mask)))
    ytvis.export(masklets_of({5: {0: mask, 1: mask}}, 0.75), Grey((30, 40), 2), tmp_path)
    predicted = read_results(tmp_path, videos)
    assert [(of.video_id, of.category_id, of.score) for of in predicted] == [(1, 1, 0.75)]
    assert average_precision(predicted, truth)["AP"] == 1


def test_frames_that_our_exporter_does_not_know_are_empty(tmp_path: Path):
    """The object is tracked from frame 2 of 4 on; the file names say so."""
    mask = box((30, 40), 3, 4, 10, 10)
    videos, truth = read_truth(annotations(tmp_path, instance(None, None, mask, mask), length=4))
    ytvis.export(masklets_of({5: {2: mask, 3: mask}}), Grey((30, 40), 4), tmp_path)
    (found,) = read_results(tmp_path / "ytvis.json", videos)
    assert [rle is not None for rle in found.rles] == [False, False, True, True]
    assert overlap(found, truth[0]) == 1


def test_results_as_the_challenge_wants_them_are_read_whatever_form_run_lengths_have(tmp_path: Path):
    mask = box((30, 40), 3, 4, 10, 10)
    videos, truth = read_truth(annotations(tmp_path, instance(mask, None)))
    runs = [4 * 30 + 3, *[10, 20] * 9, 10]  # down the columns: ten of the object, from the fifth column on
    runs.append(30 * 40 - sum(runs))
    plain = {"size": [30, 40], "counts": runs}
    polygon = [[4, 3, 14, 3, 14, 13, 4, 13]]
    compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    for form in (plain, polygon, {**compressed, "counts": compressed["counts"].decode()}):
        rows = [{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [form, None]}]
        (tmp_path / "results.json").write_text(json.dumps(rows))
        (found,) = read_results(tmp_path / "results.json", videos)
        assert overlap(found, truth[0]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_id": 4}, r"there is no video 4; the annotations have 1"),
        ({"segmentations": [None]}, r"an object of video 1 has 1 masks, the video 2 frames"),
        ({"score": None}, r"results\.json"),
        ({"score": float("nan")}, r"a score is no number"),
        (
            {"segmentations": [{"size": [4, 4], "counts": [16]}, None]},
            r"a mask of \(4, 4\) pixels lies on an image",
        ),
    ],
)
def test_results_that_do_not_fit_are_one_line(change, message, tmp_path: Path):
    videos, _ = read_truth(annotations(tmp_path, instance(box((30, 40), 3, 4, 10, 10), None)))
    row = {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [None, None], **change}
    (tmp_path / "results.json").write_text(json.dumps([row]))
    with pytest.raises(ExportError, match=message) as raised:
        read_results(tmp_path / "results.json", videos)
    assert "\n" not in str(raised.value)


def test_videos_without_annotations_cannot_be_compared_with(tmp_path: Path):
    with pytest.raises(ExportError, match="it holds no annotations"):
        read_truth(annotations(tmp_path))

"""Run lengths and label images, against pycocotools and against the obvious way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.results import FrameResult, RunLengths

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
any_mask = hnp.arrays(np.bool_, shapes)


def corner_cases(test):
    touching = np.zeros((3, 4), bool)
    touching[2, 1] = touching[0, 2] = touching[1, 2] = True  # one run across two columns
    for array in (
        np.zeros((3, 5), bool),
        np.ones((3, 5), bool),
        np.ones((1, 7), bool),
        np.ones((7, 1), bool),
        np.ones((1, 1), bool),
        np.zeros((1, 1), bool),
        np.array([[True, False, True]]),
        touching,
        ~touching,
    ):
        test = example(array)(test)
    return test


def in_coco(array):
    return coco.encode(np.asfortranarray(array.astype(np.uint8)))


@corner_cases
@given(any_mask)
def test_decode_gives_back_what_was_encoded(array):
    encoded = masks.encode(array)
    assert np.array_equal(encoded.decode(), array)
    assert encoded.area == array.sum()
    assert encoded.counts.sum() == encoded.shape[0] * encoded.shape[1]
    assert encoded == masks.encode(array.astype(np.float32) * 7)


@corner_cases
@given(any_mask)
def test_the_rectangle_encloses_the_object_tightly(array):
    crop = masks.encode(array).crop()
    if not array.any():
        assert crop.shape == (0, 0)
    else:
        assert crop[0].any()
        assert crop[-1].any()
        assert crop[:, 0].any()
        assert crop[:, -1].any()


@given(any_mask, st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.integers(0, 3))
def test_a_part_of_a_mask_equals_the_whole_one(part, top, left, below, beside):
    whole = np.pad(part, ((top, below), (left, beside)))
    assert masks.encode(part, size=whole.shape, top=top, left=left) == masks.encode(whole)


@corner_cases
@given(any_mask)
def test_to_coco_writes_the_very_text_that_pycocotools_writes(array):
    ours, theirs = masks.to_coco(masks.encode(array)), in_coco(array)
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}


@corner_cases
@given(any_mask)
def test_from_coco_reads_text_bytes_and_lists(array):
    packed, expected = in_coco(array), masks.encode(array)
    assert masks.from_coco(packed) == expected
    assert masks.from_coco({**packed, "counts": packed["counts"].decode()}) == expected
    flat = array.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    counts = np.diff(np.concatenate([[0] if flat[0] else [], [0], edges, [flat.size]])).astype(int)
    assert masks.from_coco({"size": list(array.shape), "counts": counts.tolist()}) == expected


def test_runs_of_no_length_are_read():
    read = masks.from_coco({"size": [2, 5], "counts": [3, 0, 2, 2, 0, 1, 2, 0]})
    assert np.flatnonzero(read.decode().ravel(order="F")).tolist() == [5, 6, 7]


@pytest.mark.parametrize("seed", range(3))
def test_large_counts_survive(seed):
    array = np.zeros((3000, 2000), bool)
    rng = np.random.default_rng(seed)
    array[rng.integers(3000, size=40), rng.integers(2000, size=40)] = True
    array[100:2900, 700:1200] |= rng.random((2800, 500)) < [1e-4, 0.5, 1 - 1e-4][seed]
    encoded, packed = masks.encode(array), in_coco(array)
    assert masks.to_coco(encoded)["counts"] == packed["counts"].decode()
    assert masks.from_coco(packed) == encoded


@pytest.mark.parametrize(
    "counts", ["", "0", "52P", "99999", "\x01\x02", "é", "oooooooooooo0", [3, 3], [-1, 13], []]
)
def test_broken_run_lengths_are_refused(counts):
    with pytest.raises(ExportError, match="run lengths"):
        masks.from_coco({"size": [3, 4], "counts": counts})


@given(st.text(max_size=12), st.integers(0, 5), st.integers(0, 5))
def test_no_text_can_crash_the_reader(counts, height, width):
    try:
        read = masks.from_coco({"size": [height, width], "counts": counts})
    except ExportError:
        return
    assert read.decode().shape == (height, width)


@given(hnp.arrays(np.uint16, shapes, elements=st.integers(0, 4)), st.sampled_from([1, 60_000, 100_000]))
def test_objects_of_a_label_image_are_found(labels, factor):
    labels = labels.astype(np.int64) * factor
    found = masks.encode_labels(labels)
    assert sorted(found) == [i for i in np.unique(labels) if i]
    for object_id, encoded in found.items():
        assert encoded == masks.encode(labels == object_id)
    assert np.array_equal(masks.label_image(found, labels.shape), labels)


def test_the_later_object_wins_in_a_label_image():
    full, part = np.ones((2, 3), bool), np.array([[0, 1, 1], [0, 0, 0]], bool)
    encoded = {7: masks.encode(full), 3: masks.encode(part), 5: masks.encode(np.zeros((2, 3)))}
    assert masks.label_image(encoded, (2, 3)).tolist() == [[7, 3, 3], [7, 7, 7]]


def test_boxes():
    array = np.zeros((9, 9), bool)
    assert masks.bounding_box(masks.encode(array)) is None
    array[2:5, 3:8] = True
    assert masks.bounding_box(masks.encode(array)) == (3, 2, 7, 4)


@pytest.mark.parametrize(("height", "kind"), [(255, np.uint16), (257, np.uint32)])
def test_runs_take_two_bytes_where_they_fit(height: int, kind: type):
    """A frame around 256 columns: the longest run is what lies inside it."""
    mask = np.ones((height + 2, 256), bool)
    mask[1:-1] = False
    mask[0, 0] = False
    encoded = masks.encode(mask)
    assert encoded.counts.dtype == kind
    assert np.array_equal(encoded.decode(), mask)


def test_iou():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert masks.iou(first, second) == 1.0
    first[:2], second[1:3] = True, True
    assert masks.iou(first, second) == pytest.approx(1 / 3)
    assert masks.iou(first, ~first) == 0.0


def result(frame_index: int, scores: dict[int, float]) -> FrameResult:
    empty = RunLengths((2, 2), 0, 0, (0, 0), np.zeros(0, np.uint32))
    values = np.array(list(scores.values()), np.float32)
    encoded = (empty,) * len(scores)
    return FrameResult(frame_index, tuple(scores), values, values > 0, values > 1, encoded, (2, 2))


def test_collect_orders_frames_and_keeps_the_last_result_of_each():
    collected = masks.collect([result(2, {1: 0.5}), result(1, {1: 0.25, 4: 0}), result(2, {1: 0.75})])
    assert {i: list(m) for i, m in collected.items()} == {1: [1, 2], 4: [1]}
    assert collected[1][2].score == 0.75
    assert not collected[4][1].visible


@given(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_tight_run_lengths_are_as_encode_writes_them(mask, margins):
    above, below, before, after = margins
    height, width = mask.shape
    size = (height + above + below, width + before + after)
    loose = RunLengths(size, above, before, mask.shape, masks._runs(mask.ravel()))
    expected = masks.encode(mask, size=size, top=above, left=before)
    assert masks.tight(loose) == expected
    assert masks.tight(expected) is expected
    split = np.insert(loose.counts, 1, [0, 0])  # empty runs in between say nothing
    assert masks.tight(RunLengths(size, above, before, mask.shape, split)) == expected

"""What is written is read back, and other people's tools read it too."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from PIL import Image

from sam2_core import exporters
from sam2_core.errors import ExportError
from sam2_core.exporters import read
from sam2_core.results import FrameResult, Masklet
from tests.masklets_for_tests import (
    Grey,
    any_masklets,
    box,
    frame,
    masklets_of,
    plain,
    resolved,
)
from tests.skips import shared_data

SIZE = (7, 9)
VIDEO = Grey(SIZE)
few = settings(max_examples=20, deadline=None)


def registered():
    found = {}
    exporters.sam2_register_exporters(lambda name, export, description: found.setdefault(name, export))
    return found


EXPORT = registered()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a test: a later export replaces the one before."""
    return tmp_path_factory.mktemp("out")


def scores(masklets):
    return {i: {t: known.score for t, known in m.items() if known.encoded.area} for i, m in masklets.items()}


def test_the_hook_registers_the_formats_of_the_command_line():
    assert list(EXPORT) == ["labels", "coco", "sav", "davis", "ytvis", "ctc", "geff", "tracks", "overlay"]


@few
@given(any_masklets())
def test_labels_come_back(folder, masklets):
    assert EXPORT["labels"](masklets, VIDEO, folder) == folder / "labels"
    assert plain(read.read_labels(folder)) == resolved(masklets)
    known = sorted({t for m in masklets.values() for t in m})
    assert sorted(p.name for p in (folder / "labels").iterdir()) == [f"{t:05d}.tif" for t in known]


@few
@given(any_masklets(highest=255))
def test_davis_comes_back(folder, masklets):
    assert EXPORT["davis"](masklets, VIDEO, folder) == folder / "davis"
    assert plain(read.read_davis(folder)) == resolved(masklets)


@few
@given(any_masklets())
def test_coco_comes_back_with_overlaps(folder, masklets):
    assert EXPORT["coco"](masklets, VIDEO, folder) == folder / "coco.json"
    back = read.read_coco(folder)
    assert plain(back) == plain(masklets)
    assert scores(back) == {i: s for i, s in scores(masklets).items() if s}


@few
@given(any_masklets())
def test_sav_comes_back_with_what_is_known_to_be_absent(folder, masklets):
    assert EXPORT["sav"](masklets, VIDEO, folder) == folder / "sav.json"
    back = read.read_sav(folder)
    assert plain(back, empty=True) == plain(masklets, empty=True)
    assert scores(back) == scores(masklets)


@few
@given(any_masklets())
def test_ytvis_comes_back_with_what_is_known_to_be_absent(folder, masklets):
    assert EXPORT["ytvis"](masklets, VIDEO, folder) == folder / "ytvis.json"
    back = read.read_ytvis(folder)
    assert plain(back, empty=True) == plain(masklets, empty=True)
    assert scores(back) == scores(masklets)


@pytest.mark.filterwarnings("ignore:Empty frame")  # the validator's: a frame may be empty
@few
@given(any_masklets())
def test_ctc_comes_back_and_its_validator_accepts_it(folder, masklets):
    from ctc_metrics.scripts.validate import validate_sequence

    assert EXPORT["ctc"](masklets, VIDEO, folder) == folder / "ctc"
    expected = resolved(masklets)
    assert plain(read.read_ctc(folder)) == expected
    if expected:  # the validator cannot read an empty table
        assert validate_sequence(str(folder / "ctc"), threads=1)["Valid"] == 1


@given(any_masklets())
@settings(max_examples=10, deadline=None)
def test_pycocotools_loads_our_file_and_sees_the_same(masklets):
    from pycocotools.coco import COCO

    with tempfile.TemporaryDirectory() as out:
        coco = COCO(EXPORT["coco"](masklets, VIDEO, Path(out)))
    assert sorted(i["frame_index"] for i in coco.loadImgs(coco.getImgIds())) == sorted(
        {t for m in masklets.values() for t in m}
    )
    seen = 0
    for annotation in coco.loadAnns(coco.getAnnIds()):
        known = masklets[annotation["track_id"]][annotation["frame_index"]]
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        assert np.array_equal(mask, known.mask())
        assert coco.loadImgs(annotation["image_id"])[0]["frame_index"] == annotation["frame_index"]
        assert annotation["area"] == mask.sum()
        left, top, width, height = annotation["bbox"]
        assert (top, left) == (rows.min(), columns.min())
        assert (top + height - 1, left + width - 1) == (rows.max(), columns.max())
        seen += 1
    assert seen == sum(known.encoded.area > 0 for m in masklets.values() for known in m.values())


def test_the_challenge_scores_our_result_against_itself_as_perfect(tmp_path):
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    size = (40, 50)
    still = {t: box(size, 2, 2, 8, 8) for t in range(6)}
    moving = {t: box(size, 20, 3 * t, 9, 9) for t in (0, 1, 4, 5)}  # with a gap
    late = {t: box(size, 18, 2 + 3 * t, 5, 20) for t in (3, 4, 5)}  # partly covered
    masklets = {**masklets_of({7: still}), **masklets_of({2: moving}, 0.9), **masklets_of({5: late}, 0.2)}
    result = EXPORT["ctc"](masklets, Grey(size, 6), tmp_path)
    table = (result / "res_track.txt").read_text().splitlines()
    assert sorted(table) == ["2 0 1 0", "5 3 5 0", "7 0 5 0", "8 4 5 2"]
    for part, prefix in (("TRA", "man_track"), ("SEG", "man_seg")):
        (tmp_path / "gt" / part).mkdir(parents=True)
        for file in result.glob("*.tif"):
            shutil.copy(file, tmp_path / "gt" / part / file.name.replace("mask", prefix))
    shutil.copy(result / "res_track.txt", tmp_path / "gt" / "TRA" / "man_track.txt")
    found = evaluate_sequence(
        str(result), str(tmp_path / "gt"), ["Valid", "SEG", "TRA", "DET", "LNK"], threads=1
    )
    assert {key: found[key] for key in ("Valid", "SEG", "TRA", "DET", "LNK")} == {
        "Valid": 1, "SEG": 1.0, "TRA": 1.0, "DET": 1.0, "LNK": 1.0
    }  # fmt: skip
    assert plain(read.read_ctc(tmp_path / "gt")) == resolved(masklets, size)
    assert sorted(read.read_ctc(result, join=False)) == [2, 5, 7, 8]


def test_an_object_that_is_covered_for_a_while_goes_on_under_a_new_label(tmp_path):
    masklets = masklets_of({1: {t: box(SIZE, 1, 1, 2, 2) for t in range(3)}})
    masklets[2] = Masklet(2, {1: frame(box(SIZE, 0, 0, 5, 5), 0.9)})
    EXPORT["ctc"](masklets, Grey(SIZE, 3), tmp_path)
    table = (tmp_path / "ctc" / "res_track.txt").read_text().splitlines()
    assert sorted(table) == ["1 0 0 0", "2 1 1 0", "3 2 2 1"]


def test_new_labels_stay_within_16_bits(tmp_path):
    blink = {t: box(SIZE, 1, 1, 2, 2) for t in (0, 2)}
    EXPORT["ctc"](masklets_of({65535: blink, 1: {0: box(SIZE, 4, 4, 1, 1)}}), Grey(SIZE, 3), tmp_path)
    assert "2 2 2 65535" in (tmp_path / "ctc" / "res_track.txt").read_text().splitlines()


def test_label_files_agree_with_the_label_image_of_a_result(tmp_path):
    one, two = frame(box(SIZE, 0, 0, 4, 4), 0.75), frame(box(SIZE, 2, 2, 4, 4), 0.5)
    for order in ((3, 9), (9, 3)):
        known = dict(zip(order, (one, two), strict=True))
        target = EXPORT["labels"]({i: Masklet(i, {4: f}) for i, f in known.items()}, VIDEO, tmp_path)
        result = FrameResult(
            4,
            order,
            np.array([0.75, 0.5], np.float32),
            np.ones(2, bool),
            np.zeros(2, bool),
            (one.encoded, two.encoded),
            SIZE,
        )
        written = tifffile.imread(target / "00004.tif")
        assert written.dtype == np.uint16
        assert np.array_equal(written, result.label_image())


def test_labels_use_32_bits_when_an_id_needs_them(tmp_path):
    masklets = masklets_of({70_000: {0: box(SIZE, 0, 0, 2, 2)}, 1: {3: box(SIZE, 0, 0, 1, 1)}})
    target = EXPORT["labels"](masklets, VIDEO, tmp_path)
    for file in target.iterdir():
        with tifffile.TiffFile(file) as tiff:
            assert tiff.pages[0].dtype == np.uint32
            assert tiff.pages[0].compression.name == "ADOBE_DEFLATE"
    assert plain(read.read_labels(target)) == plain(masklets)


def test_davis_has_its_palette_and_object_ids_as_indices(tmp_path):
    target = EXPORT["davis"](masklets_of({21: {0: box(SIZE, 0, 0, 2, 2)}}), VIDEO, tmp_path)
    with Image.open(target / "00000.png") as image:
        palette = image.getpalette()
        assert image.mode == "P"
        assert np.asarray(image)[0, 0] == 21
    assert len(palette) == 768
    assert palette[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert palette[24:30] == [64, 0, 0, 192, 0, 0]
    assert palette[60:66] == [0, 64, 128, 128, 64, 128]
    assert palette[765:] == [224, 224, 192]


@pytest.mark.parametrize(
    ("name", "object_id", "message"),
    [
        ("davis", 256, "from 1 to 255, and there is object 256; use the format labels, coco or sav"),
        ("ctc", 65536, "from 1 to 65535, and there is object 65536; use the format labels"),
        ("labels", 2**31, "object 2147483648; use the format coco"),
    ],
)
def test_an_id_that_does_not_fit_names_a_format_that_does(tmp_path, name, object_id, message):
    with pytest.raises(ExportError, match=message):
        EXPORT[name](masklets_of({object_id: {0: box(SIZE, 0, 0, 2, 2)}}), VIDEO, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(EXPORT))
def test_a_mask_of_another_size_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(ExportError, match="object 1 on frame 0 is 5 x 5 pixels, the video is 7 x 9") as error:
        EXPORT[name](masklets_of({1: {0: box((5, 5), 0, 0, 2, 2)}}), VIDEO, tmp_path)
    assert "\n" not in str(error.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", list(EXPORT))
def test_nothing_found_is_a_result_too(tmp_path, name):
    assert EXPORT[name]({}, VIDEO, tmp_path).exists()


@pytest.mark.parametrize("kind", ["manual", "auto"])
def test_the_published_sa_v_file_is_reproduced(tmp_path, kind):
    file = shared_data("sav_000001") / f"sav_000001_{kind}.json"
    masklets, published = read.read_sav(file), json.loads(file.read_text())
    video = Grey((848, 480), 483, 24.0)
    video.name = "sav_000001"
    ours = json.loads(EXPORT["sav"](masklets, video, tmp_path).read_text())
    assert list(ours)[: len(published)] == list(published)
    assert ours["frame_indices"] == list(range(0, 483, 4))
    assert ours["masklet_id"] == [
        i + 1 for i in published["masklet_id"]
    ]  # 0 is the background of label images
    made_by_hand = {"masklet_edited_frame_count", "masklet_type", "masklet_stability_score"}
    unknown = {"video_environment", "video_split"}
    for key in published.keys() - made_by_hand - unknown - {"masklet_id"}:
        if isinstance(published[key], list) and isinstance(published[key][0], float):
            assert ours[key] == pytest.approx(published[key], abs=6e-11), key
        else:
            assert ours[key] == published[key], key
    back = read.read_sav(tmp_path)
    assert all(back[i][t].encoded == masklets[i][t].encoded for i in masklets for t in masklets[i])

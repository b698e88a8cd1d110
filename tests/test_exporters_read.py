"""Files from elsewhere, and broken ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.exporters import coco, ctc, davis, labels, read, sav, ytvis
from tests.masklets_for_tests import Grey, box, masklets_of, plain
from tests.skips import shared_data

SIZE = (7, 9)
ONE = {1: {0: box(SIZE, 1, 2, 3, 4)}}
RLE = masks.to_coco(masks.encode(ONE[1][0]))


def png(path, array, palette=None):
    image = Image.fromarray(np.asarray(array, np.uint8))
    if palette is not None:
        image.putpalette(palette)
    path.parent.mkdir(exist_ok=True)
    image.save(path)


def save(path, document):
    path.write_text(json.dumps(document))
    return path


def without(document, *keys):
    return {key: value for key, value in document.items() if key not in keys}


def test_grey_masks_of_0_and_255_are_one_object(tmp_path):
    png(tmp_path / "a" / "00000.png", ONE[1][0] * 255)
    png(tmp_path / "a" / "00001.png", np.zeros(SIZE))
    assert plain(read.read_davis(tmp_path / "a")) == plain(masklets_of(ONE))
    grey = np.repeat(np.arange(256), 3).astype(np.uint8).tobytes()
    png(tmp_path / "b" / "00000.png", ONE[1][0] * 255, grey)  # the same, saved with a palette
    assert plain(read.read_davis(tmp_path / "b")) == plain(masklets_of(ONE))


def test_grey_masks_with_other_values_hold_ids(tmp_path):
    png(tmp_path / "a" / "frame_12.png", ONE[1][0] * 3)
    assert list(read.read_davis(tmp_path / "a")[3]) == [12]
    wide = Image.fromarray((ONE[1][0] * 255).astype(np.uint16))
    wide.save(tmp_path / "a" / "frame_13.png")
    assert list(read.read_davis(tmp_path / "a")) == [3, 255]


def test_grey_masks_that_mix_255_with_ids_are_refused(tmp_path):
    array = ONE[1][0] * 255
    array[0, 0] = 2
    png(tmp_path / "a" / "00000.png", array)
    with pytest.raises(ExportError, match="mixes 255"):
        read.read_davis(tmp_path / "a")


def test_object_255_survives_in_an_indexed_png(tmp_path):
    davis.export(masklets_of({255: ONE[1]}), Grey(SIZE), tmp_path)
    assert list(read.read_davis(tmp_path)) == [255]


def test_colour_images_are_no_masks(tmp_path):
    png(tmp_path / "a" / "00000.png", np.zeros((*SIZE, 3)))
    with pytest.raises(ExportError, match="in colour"):
        read.read_davis(tmp_path / "a")


def test_coco_from_elsewhere_polygons_lists_and_no_tracks(tmp_path):
    image = {"id": 7, "height": 7, "width": 9, "file_name": "x.jpg"}
    square = [[1.0, 1.0, 4.0, 1.0, 4.0, 5.0, 1.0, 5.0]]
    runs = {"size": list(SIZE), "counts": [10, 3, 50]}
    document = {
        "images": [image, {**image, "id": 3}],
        "annotations": [
            {"id": 4, "image_id": 7, "category_id": 1, "segmentation": square},
            {"id": 5, "image_id": 3, "category_id": 1, "segmentation": runs, "score": 0.25},
            {"id": 6, "image_id": 3, "category_id": 1, "segmentation": []},
        ],
    }
    found = read.read_coco(save(tmp_path / "a.json", document))
    assert {i: list(m) for i, m in found.items()} == {4: [0], 5: [1], 6: [1]}
    assert np.array_equal(found[4].mask(0), box(SIZE, 1, 1, 4, 3))
    assert (found[4][0].score, found[5][1].score, found[6][1].visible) == (1.0, 0.25, False)


def test_parts_of_one_object_are_put_together(tmp_path):
    image = {"id": 1, "height": 7, "width": 9, "frame_id": 5}
    parts = [
        {"image_id": 1, "instance_id": 2, "segmentation": {"size": SIZE, "counts": [n, 3, 60 - n]}}
        for n in (0, 20)
    ]
    found = read.read_coco(save(tmp_path / "a.json", {"images": [image], "annotations": parts}))
    assert found[2][5].encoded.area == 6


def test_ids_that_count_from_0_are_raised_by_one(tmp_path):
    document = {"masklet": [[RLE, RLE]], "masklet_id": [0, 3]}
    assert list(read.read_sav(save(tmp_path / "a.json", document))) == [1, 4]


def test_sa_v_without_frame_indices_has_every_4th_frame(tmp_path):
    document = {"masklet": [[RLE]] * 3, "masklet_id": [1], "video_frame_count": 10.0}
    assert list(read.read_sav(save(tmp_path / "a.json", document))[1]) == [0, 4, 8]
    document["video_frame_count"] = 3.0
    assert list(read.read_sav(save(tmp_path / "a.json", document))[1]) == [0, 1, 2]


def test_one_of_several_videos_can_be_chosen(tmp_path):
    videos = [
        {"id": n, "height": 7, "width": 9, "length": 2, "file_names": ["a/5.jpg", "a/10.jpg"]} for n in (1, 2)
    ]
    annotations = [{"id": 3 + n, "video_id": n, "segmentations": [RLE, None]} for n in (1, 2)]
    file = save(tmp_path / "a.json", {"videos": videos, "annotations": annotations})
    assert {i: list(m) for i, m in read.read_ytvis(file, video_id=2).items()} == {5: [5]}
    with pytest.raises(ExportError, match="holds 2 videos; choose one"):
        read.read_ytvis(file)
    videos[0].pop("file_names")
    file = save(tmp_path / "a.json", {"videos": videos[:1], "annotations": annotations})
    assert list(read.read_ytvis(file)[4]) == [0]


def test_divisions_stay_apart_and_gaps_are_joined(tmp_path):
    for t, row in enumerate([[1, 1, 0], [2, 3, 0], [2, 0, 0], [0, 0, 4]]):
        tifffile.imwrite(tmp_path / f"man_track{t:03d}.tif", np.tile(np.array(row, np.uint16), (4, 1)))
    (tmp_path / "man_track.txt").write_text("1 0 0 0\n2 1 2 1\n3 1 1 1\n4 3 3 3\n")
    found = {i: list(m) for i, m in read.read_ctc(tmp_path).items()}
    assert found == {1: [0], 2: [1, 2], 3: [1, 3]}
    assert list(read.read_ctc(tmp_path, join=False)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1 0 0\n", "four numbers"),
        ("1 2 1 0\n", "track 1 ends before it begins"),
        ("1 a 1 0\n", "invalid literal"),
        ("\xff\xfe", "ordinal not in range"),
    ],
)
def test_a_broken_track_table_is_refused(tmp_path, table, message):
    ctc.export(masklets_of(ONE), Grey(SIZE), tmp_path)
    (tmp_path / "ctc" / "res_track.txt").write_text(table, encoding="latin-1")
    with pytest.raises(ExportError, match=f"res_track.txt'.*{message}"):
        read.read_ctc(tmp_path)


def test_tracks_that_name_each_other_as_parents_do_not_hang(tmp_path):
    ctc.export(masklets_of(ONE), Grey(SIZE), tmp_path)
    (tmp_path / "ctc" / "res_track.txt").write_text("1 0 0 2\n2 0 0 1\n")
    assert list(read.read_ctc(tmp_path)) == [1]


WRITTEN = {"coco": coco, "sav": sav, "ytvis": ytvis}


@pytest.mark.parametrize("name", list(WRITTEN))
def test_truncated_json_is_one_line_that_names_the_file(tmp_path, name):
    file = WRITTEN[name].export(masklets_of(ONE), Grey(SIZE), tmp_path)
    whole = file.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        file.write_bytes(whole[:length])
        with pytest.raises(ExportError, match=f"cannot read .*{name}.json") as error:
            WRITTEN[name].read(tmp_path)
        assert "\n" not in str(error.value)


def broken_documents():
    image, video = {"id": 1, "height": 7, "width": 9}, {"id": 1, "height": 7, "width": 9, "length": 1}
    annotation = {"id": 1, "image_id": 1, "segmentation": RLE}
    masks_of = {"id": 1, "video_id": 1, "segmentations": [RLE]}
    good = {
        "coco": {"images": [image], "annotations": [annotation]},
        "ytvis": {"videos": [video], "annotations": [masks_of]},
        "sav": {"masklet": [[RLE]], "masklet_id": [1]},
    }
    for name, document in good.items():
        yield name, [], "holds a list"
        yield name, "text", "holds a str"
        for key in document:
            yield name, without(document, key), f"the key '{key}' is missing"
            yield name, {**document, key: 5}, "."
            yield name, {**document, key: [None]}, "."
    for key in image:
        yield "coco", {"images": [without(image, key)], "annotations": [annotation]}, f"the key '{key}'"
    yield "coco", {**good["coco"], "images": []}, "no image with the id 1"
    for bad, message in [
        ({**RLE, "size": [9, 7]}, "lies on an image of"),
        ({**RLE, "size": [7, 8]}, "run lengths do not fill"),
        ({**RLE, "counts": RLE["counts"][:-1]}, "run lengths"),
        (without(RLE, "counts"), "the key 'counts'"),
        ([[1, 2]], "neither run lengths nor a list of polygons"),
        ("abc", "."),
        (5, "."),
    ]:
        yield "coco", {"images": [image], "annotations": [{**annotation, "segmentation": bad}]}, message
        yield "ytvis", {"videos": [video], "annotations": [{**masks_of, "segmentations": [bad]}]}, message
    wrong = {**masks_of, "segmentations": [RLE, RLE]}
    yield "ytvis", {"videos": [video], "annotations": [wrong]}, "has 2 masks, its video 1 frames"
    yield "sav", {"masklet": [[RLE, RLE]], "masklet_id": [1]}, "2 masks of 1 objects"
    yield "sav", {"masklet": [[RLE]], "masklet_id": [-1]}, "an id below 0"
    yield "sav", {**good["sav"], "frame_indices": [1, 2]}, "2 frame indices and 1 annotated frames"
    yield "sav", {**good["sav"], "frame_indices": [-1]}, "frames count from 0"
    other = masks.to_coco(masks.encode(np.ones((3, 3))))
    yield (
        "sav",
        {"masklet": [[RLE], [other]], "masklet_id": [1]},
        "frame 4 is 3 x 3 pixels, another one 7 x 9",
    )


@pytest.mark.parametrize(("name", "document", "message"), list(broken_documents()))
def test_a_broken_document_is_one_line_that_says_what_is_wrong(tmp_path, name, document, message):
    file = save(tmp_path / "broken.json", document)
    with pytest.raises(ExportError, match=message) as error:
        WRITTEN[name].read(file)
    assert str(error.value).startswith(f"cannot read {str(file)!r}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("module", [labels, davis, ctc])
def test_truncated_images_are_one_line_that_names_the_file(tmp_path, module):
    noise = np.random.default_rng(0).random(SIZE) < 0.5
    folder = module.export(masklets_of({1: {0: noise}}), Grey(SIZE, 1), tmp_path)
    file = next(p for p in folder.iterdir() if p.suffix in {".tif", ".png"})
    whole = file.read_bytes()
    for length in (0, 3, 8, 30, len(whole) // 2, len(whole) * 3 // 4):
        file.write_bytes(whole[:length])
        with pytest.raises(ExportError, match=f"cannot read .*{file.name}") as error:
            module.read(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5), np.uint8), r"its shape is \(3, 4, 5\)"),
        (np.full((4, 5), 0.5, np.float32), "holds float32 values"),
        (np.full((4, 5), np.inf, np.float32), "holds float32 values"),
        (np.full((4, 5), -1, np.int16), "labels from -1"),
        (np.array([[255, 3]], np.uint8), "mixes 255"),
    ],
)
def test_a_tiff_that_is_no_label_image_is_refused(tmp_path, array, message):
    tifffile.imwrite(tmp_path / "0.tif", array, photometric="minisblack")
    with pytest.raises(ExportError, match=message):
        read.read_labels(tmp_path)


def test_a_label_means_the_same_in_every_kind_of_file(tmp_path):
    """A binary mask is object 1, whole floats are ids, and 255 is an id where it is no white."""
    mask, colours = ONE[1][0], np.zeros((3, 256), np.uint16)
    kinds = {
        "gray": (mask.astype(np.uint8) * 255, {}, 1),
        "deep": (mask.astype(np.uint16) * 255, {}, 255),
        "float": (mask.astype(np.float32) * 9, {}, 9),
        "colours": (mask.astype(np.uint8) * 255, {"photometric": "palette", "colormap": colours}, 255),
        "white": (mask.astype(np.uint8) * 255, {"photometric": "palette", "colormap": colours + 65535}, 1),
    }
    for name, (array, how, object_id) in kinds.items():
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "0.tif", array, **how)
        assert plain(read.read_labels(tmp_path / name)) == plain(masklets_of({object_id: ONE[1]})), name


def test_frames_of_different_sizes_are_refused(tmp_path):
    for t in range(2):
        tifffile.imwrite(tmp_path / f"{t}.tif", np.ones((4, 5 + t), np.uint8))
    with pytest.raises(ExportError, match="frame 1 is 4 x 6 pixels, another one 4 x 5"):
        read.read_labels(tmp_path)


def test_file_names_must_tell_the_frame(tmp_path):
    with pytest.raises(ExportError, match="No such file"):
        read.read_labels(tmp_path / "nowhere")
    with pytest.raises(ExportError, match=r"no \.tif or \.tiff files"):
        read.read_labels(tmp_path)
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((4, 5), np.uint8))
    with pytest.raises(ExportError, match=r"'mask\.tif' holds no frame number"):
        read.read_labels(tmp_path)
    (tmp_path / "mask.tif").rename(tmp_path / "1.tif")
    tifffile.imwrite(tmp_path / "01.tif", np.ones((4, 5), np.uint8))
    with pytest.raises(ExportError, match=r"'01\.tif' and '1\.tif' are the same frame"):
        read.read_labels(tmp_path)


def test_a_binary_davis_sequence_is_read():
    found = read.read_davis(shared_data("davis16_dog") / "masks")
    assert list(found) == [1]
    assert list(found[1]) == list(range(60))
    assert found[1][0].encoded.size == (480, 854)


def test_a_sequence_of_the_cell_tracking_challenge_is_read():
    folder = shared_data("ctc_ilastik_Fluo-N2DH-SIM_01") / "masks"
    found = read.read_ctc(folder)
    assert len(found) == 27
    assert sum(list(m) == list(range(10)) for m in found.values()) == 9
    labels_only = read.read_labels(folder)
    assert all(labels_only[i][t].encoded == found[i][t].encoded for i in found for t in found[i])
    assert np.array_equal(found[5].mask(3), tifffile.imread(folder / "man_seg003.tif") == 5)


def test_a_folder_of_label_images_is_read():
    found = read.read_labels(shared_data("celldetective_demo") / "W1" / "100" / "labels_effectors")
    assert {i: list(m) for i, m in found.items()} == {1: list(range(6))}
    assert all(7115 <= known.encoded.area <= 7468 for known in found[1].values())

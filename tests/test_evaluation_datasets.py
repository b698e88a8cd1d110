"""Data sets in the layouts of the field: what is found, which frames are annotated, what is to be seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core import masks, open_video
from sam2_core.errors import ExportError
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.scores import Counted
from sam2_core.exporters import davis, sav
from sam2_core.results import Masklet, MaskletFrame

SIZE, FRAMES = (24, 32), 5


def labels(t: int) -> np.ndarray:
    """Object 1 on all frames; object 2, a row below, from frame 2 on."""
    image = np.zeros(SIZE, np.uint8)
    image[3:9, 4 + t : 12 + t] = 1
    if t >= 2:
        image[14:20, 4:10] = 2
    return image


def frames(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for t, name in enumerate(names):
        Image.fromarray(np.full((*SIZE, 3), 40 + t, np.uint8)).save(folder / f"{name}.jpg")


def indexed(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    picture.putpalette(davis.palette().tobytes())
    picture.save(path)


def make_davis(root: Path, between: str = "", annotated: int = 1, digits: int = 5, first: int = 0) -> None:
    for sequence in ("swan", "dog"):
        names = [f"{first + t:0{digits}d}" for t in range(FRAMES)]
        frames(root / "JPEGImages" / between / sequence, names)
        for t in range(0, FRAMES, annotated):
            indexed(root / "Annotations" / between / sequence / f"{names[t]}.png", labels(t))


def make_sav_folders(root: Path) -> None:
    names = [f"{t:05d}" for t in range(FRAMES)]
    frames(root / "JPEGImages_24fps" / "sav_1", names)
    for number, object_id in (("000", 1), ("001", 2)):
        for t in range(0, FRAMES, 2):
            path = root / "Annotations_6fps" / "sav_1" / number / f"{names[t]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((labels(t) == object_id).astype(np.uint8) * 255).save(path)


def make_sav_files(root: Path) -> None:
    import av

    root.mkdir()
    with av.open(str(root / "sav_1.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        for _ in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    masklets = {
        i: Masklet(
            i,
            {
                t: MaskletFrame(masks.encode(labels(t) == i), 1.0, True, "prompted")
                for t in range(FRAMES)
                if (labels(t) == i).any()
            },
        )
        for i in (1, 2)
    }
    written = sav.export(masklets, open_video(root / "sav_1.mp4"), root)
    written.rename(root / "sav_1_manual.json")


def make_ctc(root: Path) -> None:
    (root / "01").mkdir(parents=True)
    (root / "01_GT" / "TRA").mkdir(parents=True)
    for t in range(FRAMES):
        tifffile.imwrite(root / "01" / f"t{t:03d}.tif", np.full(SIZE, 100 + t, np.uint16))
        tifffile.imwrite(root / "01_GT" / "TRA" / f"man_track{t:03d}.tif", labels(t).astype(np.uint16))
    (root / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 4 0\n2 2 4 0\n")


def make_plain(root: Path) -> None:
    frames(root / "images", [f"{t}" for t in range(FRAMES)])
    for t in range(FRAMES):
        indexed(root / "masks" / f"{t}.png", labels(t))


LAYOUTS = {
    "davis": (make_davis, ["dog", "swan"], Counted.ALL, range(FRAMES)),
    "davis 480p": (lambda root: make_davis(root, "480p"), ["dog", "swan"], Counted.ALL, range(FRAMES)),
    "youtube-vos": (
        lambda root: make_davis(root, annotated=2),
        ["dog", "swan"],
        Counted.ALL,
        range(0, FRAMES, 2),
    ),
    "lvos": (lambda root: make_davis(root, digits=8, first=1), ["dog", "swan"], Counted.ALL, range(FRAMES)),
    "sa-v folders": (make_sav_folders, ["sav_1"], Counted.SINCE_SEEN, range(0, FRAMES, 2)),
    "sa-v files": (make_sav_files, ["sav_1"], Counted.SINCE_SEEN, range(FRAMES)),
    "ctc": (make_ctc, ["01"], Counted.SINCE_SEEN, range(FRAMES)),
    "plain": (make_plain, ["data"], Counted.SINCE_SEEN, range(FRAMES)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_found_and_its_annotations_are_read(layout, tmp_path: Path):
    make, names, counted, annotated = LAYOUTS[layout]
    make(tmp_path / "data")
    sequences, rule = find_sequences(tmp_path / "data")
    assert [sequence.name for sequence in sequences] == names
    assert rule is counted
    for sequence in sequences:
        truth, video = sequence.read(), open_video(sequence.source)
        assert truth.frames == tuple(annotated)
        assert len(video) == FRAMES
        assert sorted(truth.objects) == [1, 2]
        assert [truth.first(i) for i in (1, 2)] == [0, 2]
        for t in annotated:
            for object_id in (1, 2):
                assert np.array_equal(truth.mask(object_id, t, video.size), labels(t) == object_id), (
                    t,
                    object_id,
                )
        assert list(truth.of_first_frame().objects) == [1]


def test_binary_masks_are_one_object(tmp_path: Path):
    frames(tmp_path / "JPEGImages" / "swan", ["00000"])
    (tmp_path / "Annotations" / "swan").mkdir(parents=True)
    Image.fromarray((labels(2) > 0).astype(np.uint8) * 255).save(
        tmp_path / "Annotations" / "swan" / "00000.png"
    )
    ((sequence,), _) = find_sequences(tmp_path)
    assert list(sequence.read().objects) == [1]


def test_objects_of_sav_may_overlap(tmp_path: Path):
    """Trap 13: they share pixels, which a label image could not say."""
    make_sav_folders(tmp_path)
    whole = np.full(SIZE, 255, np.uint8)
    Image.fromarray(whole).save(tmp_path / "Annotations_6fps" / "sav_1" / "001" / "00000.png")
    ((sequence,), _) = find_sequences(tmp_path)
    truth = sequence.read()
    assert truth.mask(2, 0, SIZE).all()
    assert truth.mask(1, 0, SIZE).any()


def test_daughters_are_objects_of_their_own(tmp_path: Path):
    make_ctc(tmp_path)
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 4 0\n2 2 4 1\n")
    ((sequence,), _) = find_sequences(tmp_path)
    assert sorted(sequence.read().objects) == [1, 2]


def test_an_annotation_of_no_frame_is_said(tmp_path: Path):
    make_davis(tmp_path)
    indexed(tmp_path / "Annotations" / "dog" / "00077.png", labels(0))
    sequences, _ = find_sequences(tmp_path)
    with pytest.raises(ExportError, match=r"00077\.png' is the annotation of no frame"):
        sequences[0].read()


def test_a_broken_annotation_is_named(tmp_path: Path):
    make_davis(tmp_path)
    (tmp_path / "Annotations" / "dog" / "00001.png").write_bytes(b"\x89PNG nothing")
    sequences, _ = find_sequences(tmp_path)
    with pytest.raises(ExportError, match=r"00001\.png"):
        sequences[0].read()


@pytest.mark.parametrize("what", ["nothing", "a file", "images alone"])
def test_what_is_no_data_set_is_one_line(what, tmp_path: Path):
    folder = tmp_path / "data"
    if what == "a file":
        folder.write_text(json.dumps({}))
    elif what == "images alone":
        frames(folder / "JPEGImages" / "dog", ["00000"])
    with pytest.raises(ExportError, match="is no data set: it holds neither JPEGImages/"):
        find_sequences(folder)


def make_pairs(root: Path, images: list[str], annotations: dict[str, int]) -> None:
    frames(root / "images", images)
    for name, t in annotations.items():
        indexed(root / "masks" / f"{name}.png", labels(t))


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        (["a", "b", "c", "d"], {"b": 1, "d": 3}),
        (["t000", "t001", "t002", "t003"], {"man_seg001": 1, "man_seg003": 3}),
        (["x7_10", "x7_20", "x7_30", "x7_40"], {"m20": 1, "m40": 3}),
        (["a", "b", "c", "d"], {"m1": 0, "m2": 1, "m3": 2, "m4": 3}),
        (["a1", "b1", "c1", "d1"], {"k": 0, "l": 1, "m": 2, "n": 3}),
    ],
)
def test_images_and_masks_are_paired_by_name_by_number_or_in_order(images, annotations, tmp_path: Path):
    make_pairs(tmp_path, images, annotations)
    ((sequence,), _) = find_sequences(tmp_path)
    truth = sequence.read()
    assert truth.frames == tuple(annotations.values())
    for t in annotations.values():
        assert np.array_equal(truth.mask(1, t, SIZE), labels(t) == 1)


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        (["a", "b", "c"], {"m1": 0, "m2": 1}),
        (["t1", "t2", "t3"], {"m1": 0, "m9": 1}),
        (["t1", "t2"], {"m1_1": 0, "m2_1": 1, "m3_1": 2}),
    ],
)
def test_images_and_masks_that_say_nothing_of_each_other_are_refused(images, annotations, tmp_path: Path):
    make_pairs(tmp_path, images, annotations)
    ((sequence,), _) = find_sequences(tmp_path)
    with pytest.raises(
        ExportError, match=rf"masks' holds {len(annotations)} annotations, .*images' {len(images)} frames"
    ):
        sequence.read()


def test_frames_of_ctc_are_those_of_the_names(tmp_path: Path):
    make_ctc(tmp_path)
    (tmp_path / "01_GT/TRA/man_track001.tif").unlink()
    (tmp_path / "01_GT/TRA/man_track003.tif").unlink()
    ((sequence,), _) = find_sequences(tmp_path)
    truth = sequence.read()
    assert truth.frames == (0, 2, 4)
    assert [truth.first(i) for i in (1, 2)] == [0, 2]


def test_frames_of_ctc_may_count_from_another_number(tmp_path: Path):
    make_ctc(tmp_path)
    for name in ("01/t000.tif", "01_GT/TRA/man_track000.tif"):
        (tmp_path / name).unlink()
    ((sequence,), _) = find_sequences(tmp_path)
    truth = sequence.read()
    assert truth.frames == (0, 1, 2, 3)
    assert np.array_equal(truth.mask(1, 0, SIZE), labels(1) == 1)


def test_what_is_beside_the_objects_of_sav_is_skipped(tmp_path: Path):
    make_sav_folders(tmp_path)
    objects = tmp_path / "Annotations_6fps/sav_1"
    (objects / "notes.txt").write_text("x")
    (objects / "002").mkdir()
    ((sequence,), _) = find_sequences(tmp_path)
    truth = sequence.read()
    assert sorted(truth.objects) == [1, 2]
    assert truth.frames == tuple(range(0, FRAMES, 2))


def renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


@pytest.mark.parametrize(
    ("make", "spoil", "message"),
    [
        (
            make_ctc,
            renamed("01_GT/TRA/man_track000.tif", "01_GT/TRA/man_track.tif"),
            r"'man_track\.tif' holds no frame number",
        ),
        (
            make_sav_folders,
            renamed("Annotations_6fps/sav_1/000", "Annotations_6fps/sav_1/first"),
            r"first' is no number",
        ),
        (
            make_davis,
            lambda root: (
                (root / "Annotations/dog/00004.png").unlink() or (root / "Annotations/dog/00004.png").mkdir()
            ),
            r"dog/00004\.png' is a folder; an annotation is a file",
        ),
        (
            make_plain,
            lambda root: (root / "masks/4.png").unlink() or (root / "masks/4.png").mkdir(),
            r"masks/4\.png' is a folder; an annotation is a file",
        ),
        (
            make_sav_folders,
            lambda root: (root / "Annotations_6fps/sav_1/000/00001.png").mkdir(),
            r"000/00001\.png' is a folder",
        ),
        (make_ctc, lambda root: (root / "01_GT/TRA/man_track007.tif").mkdir(), r"man_track007\.tif"),
        (
            make_sav_files,
            lambda root: (root / "sav_1_manual.json").unlink() or (root / "sav_1_manual.json").mkdir(),
            r"sav_1_manual\.json'",
        ),
    ],
    ids=["number", "object", "davis", "plain", "sa-v folders", "ctc", "sa-v files"],
)
def test_annotations_that_cannot_be_placed_or_are_folders_are_named(make, spoil, message, tmp_path: Path):
    make(tmp_path / "data")
    spoil(tmp_path / "data")
    sequence = find_sequences(tmp_path / "data")[0][0]
    with pytest.raises(ExportError, match=message):
        sequence.read()


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (
            {"dog": {"objects": {"1": {"frame_range": {"start": "1", "end": "5", "frame_nums": 5}}}}},
            Counted.LVOS,
        ),
        ({"dog": {"objects": {"1": {"category": "dog", "frames": ["00000"]}}}}, Counted.ALL),  # YouTube-VOS
        ([1, 2], Counted.ALL),
        ({"dog": {"objects": [1]}, "swan": None}, Counted.ALL),
        (None, Counted.ALL),
    ],
)
def test_lvos_is_known_by_the_frame_ranges_of_its_objects(meta, expected, tmp_path: Path):
    make_davis(tmp_path)
    if meta is not None:
        (tmp_path / "meta.json").write_text(json.dumps({"videos": meta}))
    assert find_sequences(tmp_path)[1] is expected


def test_outlines_of_ctc_have_the_numbers_of_the_frames(tmp_path: Path):
    make_ctc(tmp_path)
    (tmp_path / "01_GT/SEG").mkdir()
    for name in ("man_seg003.tif", "man_seg_001_000.tif"):  # the second is a plane of a volume
        tifffile.imwrite(tmp_path / "01_GT/SEG" / name, labels(3).astype(np.uint16))
    for name in ("01/t000.tif", "01_GT/TRA/man_track000.tif"):
        (tmp_path / name).unlink()
    ((sequence,), _) = find_sequences(tmp_path)
    assert sequence.cells is not None
    cells = sequence.cells()
    assert cells.outlines == {2: tmp_path / "01_GT/SEG/man_seg003.tif"}
    assert cells.lineage == tmp_path / "01_GT/TRA/man_track.txt"


@pytest.mark.parametrize(("names", "expected"), [("man_seg{:03d}.tif", True), ("{:03d}.tif", False)])
def test_images_and_masks_are_cells_if_the_names_are_those_of_the_challenge(names, expected, tmp_path: Path):
    frames(tmp_path / "images", [f"t{t:03d}" for t in range(FRAMES)])
    (tmp_path / "masks").mkdir()
    for t in range(FRAMES):
        tifffile.imwrite(tmp_path / "masks" / names.format(t), labels(t).astype(np.uint16))
    ((sequence,), _) = find_sequences(tmp_path)
    assert (sequence.cells is not None) == expected

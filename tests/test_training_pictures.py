"""Real pictures in layered scenes: what is packed, what is kept for validation, and what a scene shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_core.cli import main
from sam2_core.errors import VideoError
from sam2_core.training import pictures as module
from sam2_core.training.clip_pool import ClipPool
from sam2_core.training.pictures import CUT_OUT_SIZE, Pictures, pack
from sam2_core.training.random import Random
from sam2_core.training.scenes import make_scene
from sam2_core.training.sprites import pictured_sprites
from sam2_core.training.validation import held_out_batch


def disc(colour: tuple[int, int, int], size: int = 120) -> Image.Image:
    """A disc in the middle of a wider transparent picture."""
    y, x = np.mgrid[:size, : 2 * size]
    inside = (x - size) ** 2 + (y - size / 2) ** 2 < (size / 3) ** 2
    return Image.fromarray(np.dstack([np.full((*inside.shape, 3), colour), inside * 255]).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty red discs, the first of them green; three blue places, the first yellow; and a text."""
    folder = tmp_path / "folder"
    (folder / "more").mkdir(parents=True)
    for number in range(20):
        disc((0, 200, 0) if number == 0 else (200, 0, 0)).save(folder / f"disc{number:02}.png")
    for number in range(3):
        colour = (200, 200, 0) if number == 0 else (0, 0, 200)
        Image.new("RGB", (600, 300), colour).save(folder / "more" / f"place{number}.jpg", quality=95)
    (folder / "note.txt").write_text("no picture")
    return folder


@pytest.fixture
def pictures(folder: Path, tmp_path: Path) -> Pictures:
    assert pack(folder, tmp_path / "packed") == {"cut_outs": 20, "places": 6}  # both ends of each wide place
    return Pictures(tmp_path / "packed")


def test_a_cut_out_fills_its_square_and_keeps_its_opacity(pictures: Pictures):
    (cut_out,) = pictures.cut_outs(Random(0), 1)
    assert cut_out.shape == (4, CUT_OUT_SIZE, CUT_OUT_SIZE)
    opacity = cut_out[3]
    assert abs(float(opacity.mean()) - np.pi / 4) < 0.02
    assert opacity[CUT_OUT_SIZE // 2].min() > 0.3  # from edge to edge
    assert torch.allclose(cut_out[:3, opacity > 0.9].mean(1), torch.tensor([200, 0, 0]) / 255, atol=0.01)


def test_one_in_sixteen_is_kept_for_validation(pictures: Pictures):
    held_out = replace(pictures, held_out=True)
    assert (held_out.cut_outs(Random(0), 30)[:, 1].amax((1, 2)) > 0.5).float().mean() > 0.2  # 2 are kept
    assert pictures.cut_outs(Random(0), 30)[:, 1].amax() < 0.1  # the green one never
    yellow = held_out.places(Random(1), 5, 9, 9)
    assert yellow.shape == (5, 3, 9, 9)
    assert yellow[:, 0].min() > 0.7


def test_scenes_show_the_pictures_where_their_labels_say(pictures: Pictures):
    """Discs are red and the ground is blue, so what is red must be labelled."""
    redder, bluer = [], []
    for seed in range(12):
        clip = make_scene(seed, 2, 128, pictures=pictures)
        plain = make_scene(seed, 2, 128)
        assert clip.frames.shape == plain.frames.shape
        image, labels = clip.frames[0].float(), clip.labels[0]
        red = image[0] - image[2] > 60
        redder.append(float((labels[red] > 0).float().mean()) if red.any() else 1.0)
        bluer.append(float((image[2] - image[0] > 60)[labels == 0].float().mean()))
    assert np.median(redder) > 0.95
    assert np.median(bluer) > 0.6


def test_the_same_seed_and_pictures_give_the_same_clip(pictures: Pictures):
    one, two = make_scene(4, 2, 64, pictures=pictures), make_scene(4, 2, 64, pictures=pictures)
    assert torch.equal(one.frames, two.frames)
    assert torch.equal(one.labels, two.labels)


def test_a_kept_clip_without_pictures_is_not_taken_for_one_with(pictures: Pictures, tmp_path: Path):
    (tmp_path / "clips").mkdir()
    pools = [
        ClipPool(frames=2, size=64, folder=tmp_path / "clips", pictures=given) for given in (None, pictures)
    ]
    differ = [not torch.equal(pools[0].clip(n).frames, pools[1].clip(n).frames) for n in range(0, 12, 2)]
    assert sum(differ) >= 3  # three in four scenes are of pictures


def test_validation_shows_the_held_out_pictures(pictures: Pictures):
    scenes = [number for number in range(12) if number // 2 % 2 == 0]
    differ = 0
    for number in scenes:
        one, other = (
            held_out_batch(number, 2, 64, pictures=replace(pictures, held_out=kept)) for kept in (False, True)
        )
        differ += not torch.equal(one.images, other.images)
    assert differ >= len(scenes) / 2


@pytest.mark.parametrize("keep", ["*.txt", "*.png", "more/*.jpg"])
def test_a_folder_without_cut_outs_or_places_is_refused(
    folder: Path, tmp_path: Path, keep: str, capsys: pytest.CaptureFixture[str]
):
    for path in {*folder.rglob("*.*")} - {*folder.glob(keep)}:
        path.unlink()
    with pytest.raises(SystemExit):
        module.main([str(folder), str(tmp_path / "packed")])
    assert "at least two of each are needed" in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()


def test_a_broken_picture_is_left_out_and_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "broken.png").write_bytes((folder / "disc01.png").read_bytes()[:100])
    assert module.main([str(folder), str(tmp_path / "packed")]) == 0
    said = capsys.readouterr()
    assert said.out == "20 cut-outs, 6 places\n"
    assert "broken.png is left out" in said.err


def test_a_file_without_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "text").write_text("nothing")
    for path in (tmp_path / "text", tmp_path / "gone"):
        with pytest.raises(VideoError, match="holds no packed pictures"):
            Pictures(path)
        assert main(["train", "--out", str(tmp_path / "out"), "--pictures", str(path)]) == 2
        assert "holds no packed pictures" in capsys.readouterr().err


def test_clips_of_other_pictures_are_made_anew(folder: Path, pictures: Pictures, tmp_path: Path):
    for path in folder.glob("disc*.png"):
        disc((90, 0, 90)).save(path)
    pack(folder, tmp_path / "other")
    other = Pictures(tmp_path / "other")
    assert other.identity != pictures.identity
    assert pictures.identity == replace(pictures, held_out=True).identity
    pools = [ClipPool(frames=2, size=64, folder=tmp_path, pictures=given) for given in (pictures, other)]
    assert any(not torch.equal(pools[0].clip(n).frames, pools[1].clip(n).frames) for n in range(0, 12, 2))


def test_a_cut_out_that_is_mirrored_keeps_its_colours(folder: Path, tmp_path: Path):
    """A square that is red on the left and blue on the right, and has no upper left quarter."""
    for path in folder.glob("disc*.png"):
        square = np.zeros((120, 120, 4), np.uint8)
        square[10:110, 10:60], square[10:110, 60:110] = (250, 0, 0, 255), (0, 0, 250, 255)
        square[10:60, 10:60, 3] = 0
        Image.fromarray(square).save(path)
    pack(folder, tmp_path / "quarters")
    sprites = pictured_sprites(Random(3), 80, Pictures(tmp_path / "quarters"))
    middle = CUT_OUT_SIZE // 2
    above = sprites[:, 3, 20:60]
    missing = [above[..., side].mean((1, 2)) < 0.01 for side in (slice(20, 60), slice(100, 140))]
    below = sprites[:, :3, middle + 20 : -20]
    redness = (below[:, 0] - below[:, 2]).mean(1)
    for lost, here, there in (
        (missing[0], slice(20, 60), slice(100, 140)),
        (missing[1], slice(100, 140), slice(20, 60)),
    ):
        assert int(lost.sum()) > 10  # both ways
        assert float(redness[lost][:, here].median()) > 0.4 > -0.4 > float(redness[lost][:, there].median())


def test_a_cut_out_has_no_dark_rim(pictures: Pictures):
    (cut_out,) = pictures.cut_outs(Random(0), 1)
    assert float(cut_out[0][cut_out[3] < 0.1].min()) > 0.7  # the disc is red

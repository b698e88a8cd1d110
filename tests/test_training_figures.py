"""Animated models: reading G3D files, drawing them, and scenes that show them in motion."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sam2_core.training import figures
from sam2_core.training.figures import FIGURE_SIZE, POSES, read_model, render, turntable
from sam2_core.training.pictures import Pictures, pack
from sam2_core.training.scenes import make_scene

TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])


def square(height: float = 1.0) -> np.ndarray:
    """Two upright triangles, ``(4, 3)``."""
    return np.array([[-1, 0, 0], [1, 0, 0], [-1, height, 0], [1, height, 0]], np.float32)


def g3d(frames: list[np.ndarray], texture: str = "skin.png", properties: int = 0) -> bytes:
    """A file of one mesh, as the game writes it."""
    corners = np.stack(frames).astype("<f4")
    spots = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], "<f4")
    header = struct.pack("<3sBHB", b"G3D", 4, 1, 0)
    numbers = (len(frames), 4, 6, *([1.0] * 6), 10.0, 1.0, properties, 1)
    mesh = struct.pack("<64s3I8f2I", b"body", *numbers) + struct.pack("<64s", texture.encode())
    places = corners.tobytes() + np.zeros_like(corners).tobytes() + spots.tobytes()
    return header + mesh + places + TRIANGLES.astype("<u4").tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A red square that grows to twice its height, with its skin."""
    (tmp_path / "models").mkdir()
    Image.new("RGBA", (8, 8), (200, 0, 0, 255)).save(tmp_path / "models" / "skin.png")
    (tmp_path / "models" / "square.g3d").write_bytes(g3d([square(1), square(2)]))
    return tmp_path


def test_a_model_is_read_as_it_was_written(folder: Path):
    (mesh,) = read_model(folder / "models" / "square.g3d")
    np.testing.assert_array_equal(mesh.corners, [square(1), square(2)])
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    assert mesh.texture[0, 0].tolist() == [200, 0, 0, 255]


def test_a_turntable_shows_a_solid_figure_that_moves(folder: Path):
    poses = turntable(read_model(folder / "models" / "square.g3d"), np.random.default_rng(3))
    assert poses.shape == (POSES, 4, FIGURE_SIZE, FIGURE_SIZE)
    opacity = poses[:, 3] > 127
    for pose in opacity:  # a square stays convex: no row has a hole
        for row in pose[pose.any(1)]:
            first, last = np.flatnonzero(row)[[0, -1]]
            assert row[first : last + 1].all()
    rows = opacity.any((0, 2)).sum(), opacity.any((0, 1)).sum()
    assert max(rows) >= FIGURE_SIZE - 3  # the widest pose fills it
    assert opacity.sum((1, 2)).max() > 1.2 * opacity.sum((1, 2)).min()
    colour = poses.transpose(0, 2, 3, 1)[poses[:, 3] == 255][:, :3]
    assert colour[:, 0].min() >= 100
    assert colour[:, 1:].max() == 0


def test_what_is_open_in_a_texture_is_not_drawn_unless_it_shows_a_team(folder: Path):
    path = folder / "models" / "square.g3d"
    skin = np.full((8, 8, 4), 255, np.uint8)
    skin[:, :4, 3] = 0
    Image.fromarray(skin).save(folder / "models" / "skin.png")
    covered = {}
    for properties in (0, 1):
        path.write_bytes(g3d([square()], properties=properties))
        covered[properties] = float(
            (turntable(read_model(path), np.random.default_rng(0))[:, 3] > 127).mean()
        )
    assert covered[0] == pytest.approx(covered[1] / 2, rel=0.1)


def test_the_same_number_gives_the_same_poses(folder: Path):
    path = folder / "models" / "square.g3d"
    one, same, other = (render(number, path) for number in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_models_are_refused(data):
    content = bytearray(g3d([square(1), square(2)]))
    kind = data.draw(st.sampled_from(["no frame", "cut", "corner"]))
    if kind == "no frame":
        content[7 + 64 : 7 + 68] = struct.pack("<I", 0)
    elif kind == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[-4:] = struct.pack("<I", data.draw(st.integers(4, 2**32 - 1)))  # a corner that does not exist
    path = Path("damaged.g3d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: bytes(content))
        patch.setattr(figures, "_texture", lambda path, properties: np.zeros((1, 1, 4), np.uint8))
        with pytest.raises(ValueError, match=r"cut off|corner that does not|no G3D model|in no frame"):
            read_model(path)


def test_scenes_show_figures_in_motion_where_their_labels_say(folder: Path, capsys):
    """Only the figures are red, so what is red must be labelled."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :240]
    disc = np.where(((x - 120) ** 2 + (y - 60) ** 2 < 40**2)[..., None], [0, 200, 0, 255], 0).astype(np.uint8)
    for number in range(2, 20):
        Image.fromarray(disc).save(folder / f"disc{number}.png")
        (folder / "models" / f"square{number}.g3d").write_bytes(g3d([square(1), square(2)]))
        ground = np.concatenate([rng.integers(0, 40, (300, 300, 2)), np.full((300, 300, 1), 200)], 2)
        Image.fromarray(ground.astype(np.uint8)).save(folder / f"place{number}.png")
    (folder / "models" / "broken.g3d").write_bytes(b"G3D")
    assert pack(folder, folder / "packed") == {"cut_outs": 18, "places": 18, "figures": 19}
    assert "broken.g3d is left out: the file is cut off" in capsys.readouterr().err
    pictures = Pictures(folder / "packed")
    labelled, seen = [], 0
    for seed in range(10):
        clip = make_scene(seed, 2, 128, pictures=pictures)
        image = clip.frames[0].int()
        red = (image[0] - image[2] > 60) & (image[0] - image[1] > 60)
        if red.sum() > 50:
            seen += 1
            labelled.append(float((clip.labels[0][red] > 0).float().mean()))
    assert seen >= 3
    assert np.median(labelled) > 0.95

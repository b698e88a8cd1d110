import random
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions, open_source
from sam2_core.videos.images import ImageFiles, images_in, natural_order, read_image


def save(path: Path, value: int, size: tuple[int, int] = (6, 8), mode: str = "RGB") -> None:
    Image.fromarray(np.full((*size, 3), value, np.uint8)).convert(mode).save(path)


@given(st.lists(st.integers(0, 10**12), unique=True, min_size=2), st.sampled_from(["", "frame", "a1_", "x-"]))
def test_numbers_in_names_are_counted(numbers: list[int], prefix: str) -> None:
    paths = [Path(f"{prefix}{number}.png") for number in numbers]
    assert sorted(paths, key=natural_order) == [Path(f"{prefix}{n}.png") for n in sorted(numbers)]


@given(st.lists(st.from_regex(r"[a-zA-Z0-9 ._²-]{1,8}", fullmatch=True), min_size=2))
def test_any_names_have_one_order(names: list[str]) -> None:
    paths = [Path(f"n{name}.png") for name in names]
    shuffled = random.Random(0).sample(paths, len(paths))
    assert sorted(paths, key=natural_order) == sorted(shuffled, key=natural_order)


def test_names_with_several_numbers_and_padding_are_in_natural_order() -> None:
    names = ["s1_t2", "s1_t10", "s2_t1", "s10_t1", "frame", "frame1", "frame02", "frame10", "Frame11"]
    expected = ["frame", "frame1", "frame02", "frame10", "Frame11", "s1_t2", "s1_t10", "s2_t1", "s10_t1"]
    ordered = sorted((Path(f"{name}.png") for name in names), key=natural_order)
    assert [path.stem for path in ordered] == expected


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        save(tmp_path / f"img{number}.png", number)
    video = open_source(str(tmp_path))
    assert isinstance(video, ImageFiles)
    assert (len(video), video.size, video.frame_rate) == (3, (6, 8), None)
    assert video.names == ("img1", "img9", "img10")
    assert [int(frame[0, 0, 0]) for frame in video] == [1, 9, 10]
    with pytest.raises(VideoError, match=r"frame 3 does not exist; the video has frames 0\.\.2"):
        video[3]


def test_what_is_no_image_is_ignored(tmp_path: Path) -> None:
    save(tmp_path / "1.JPG", 5)
    save(tmp_path / "2.webp", 6)
    save(tmp_path / "._1.jpg", 7)
    for name in ("notes.txt", "Thumbs.db", "labels.h5", "clip.mpg", ".hidden.png"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "0.png").mkdir()
    assert [path.name for path in images_in(tmp_path)] == ["1.JPG", "2.webp"]


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b.png", 1, size=(8, 6))
    save(tmp_path / "c.png", 1)
    video = open_source(tmp_path)
    assert video[2].shape == (6, 8, 3)
    with pytest.raises(VideoError, match=r"'b.png' \(frame 1\) has 8 x 6 pixels .* the video has 6 x 8"):
        video[1]


def test_a_broken_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / name, 1)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    (tmp_path / "c.png").write_text("no image")
    video = open_source(tmp_path)
    for frame_index, name in ((1, "b.png"), (2, "c.png")):
        with pytest.raises(VideoError, match=f"cannot read the image '{name}'"):
            video[frame_index]


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is empty; give a folder of frames"):
        open_source(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "film.mp4").touch()
    with pytest.raises(VideoError, match=r"holds no images; give one of what it holds: film.mp4, images/"):
        open_source(tmp_path)


def test_8_bit_images_are_read_one_by_one(tmp_path: Path) -> None:
    save(tmp_path / "0.png", 3)
    for number in range(1, 5):
        (tmp_path / f"{number}.png").write_text("must not be read")
    assert open_source(tmp_path)[0].max() == 3


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK"])
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tga" if mode == "LA" else "a.tiff.jpg" if mode == "CMYK" else "a.png")
    save(path, 255, mode=mode)
    video = open_source(path)
    assert (len(video), video.names) == (1, (path.stem,))
    assert np.array_equal(video[0], np.full((6, 8, 3), 255))


def test_16_bit_images_keep_their_values_until_they_are_stretched(tmp_path: Path) -> None:
    ramp = np.linspace(74, 495, 48).reshape(6, 8).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    colour = np.stack([ramp, ramp // 2, ramp // 3], axis=-1)
    (tmp_path / "colour.png").write_bytes(imagecodecs.png_encode(colour))
    tifffile.imwrite(tmp_path / "gray.tif", ramp)
    assert np.array_equal(read_image(tmp_path / "gray.png"), ramp)
    assert np.array_equal(read_image(tmp_path / "colour.png"), colour)
    assert np.array_equal(read_image(tmp_path / "gray.tif")[..., 0], ramp)
    for name in ("gray.png", "colour.png", "gray.tif"):
        frame = open_source(tmp_path / name)[0]
        assert (frame.min(), frame.max()) == (0, 255)
    asked = open_source(tmp_path / "colour.png", ImageOptions(contrast_limits=(0, 495), channels=(1,)))[0]
    assert 120 < asked.max() < 135


def test_a_16_bit_folder_is_stretched_by_one_scale(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(np.full((6, 8), 100 * (number + 1), np.uint16)).save(tmp_path / f"{number}.png")
    assert [int(frame[0, 0, 0]) for frame in open_source(tmp_path)] == [0, 128, 255]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    video = open_source(tmp_path / "a.png")
    assert video.size == (8, 6)
    assert video[0][0, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_photographs_are_turned_in_each_of_the_eight_ways(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = 255
    turned = [pixels, pixels[:, ::-1], pixels[::-1, ::-1], pixels[::-1]]
    turned += [image.swapaxes(0, 1) for image in (turned[0], turned[3], turned[2], turned[1])]
    for orientation, expected in enumerate(turned, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif, quality=100, lossless=True)
        video = open_source(tmp_path / f"a.{suffix}")
        assert video.size == expected.shape[:2]
        assert np.array_equal(video[0] > 127, expected > 127)


def test_inks_are_shown_as_colours(tmp_path: Path) -> None:
    inks = np.full((16, 16, 4), (255, 255, 0, 0), np.uint8)  # cyan and magenta
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    assert np.abs(open_source(tmp_path / "a.jpg")[0].astype(int) - (0, 0, 255)).max() < 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_with_alpha_is_gray(tmp_path: Path, dtype: type) -> None:
    ramp = np.linspace(0, np.iinfo(dtype).max, 48).reshape(6, 8).astype(dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.stack([ramp, ramp[::-1]], axis=-1)))
    frame = open_source(tmp_path / "a.png")[0]
    assert np.array_equal(frame, np.repeat(frame[..., :1], 3, axis=-1))
    assert np.array_equal(read_image(tmp_path / "a.png"), ramp)
    assert (frame.min(), frame.max()) == (0, 255)


def test_names_may_hold_spaces_and_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "Zeitreihe µm 細胞"
    folder.mkdir()
    for number in range(12):
        save(folder / f"bild é {number}.png", number)
    assert [int(frame[0, 0, 0]) for frame in open_source(folder)] == list(range(12))


def test_links_are_followed_and_a_broken_one_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    save(tmp_path / "there" / "a.png", 5)
    (tmp_path / "here").mkdir()
    for number, name in enumerate(("a.png", "lost.png", "a.png")):
        (tmp_path / "here" / f"{number}.png").symlink_to(tmp_path / "there" / name)
    (tmp_path / "link").symlink_to(tmp_path / "here")
    video = open_source(tmp_path / "link")
    assert len(video) == 3
    assert [video[i].max() for i in (0, 2)] == [5, 5]
    with pytest.raises(VideoError, match=r"cannot read the image '1\.png'"):
        video[1]


def test_a_file_that_vanishes_is_named_when_it_is_read(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", number)
    video = open_source(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(VideoError, match=r"cannot read the image '1\.png': .*No such file"):
        video[1]
    assert video[2].max() == 2


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "ppm", "tga", "jp2"])
def test_a_damaged_image_is_refused_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    data = path.read_bytes()
    for attempt in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data) if attempt % 2 else 60, 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.integers(1, len(data)) if attempt % 3 == 0 else None])
        try:
            assert open_source(path)[0].dtype == np.uint8
        except VideoError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some, not all


def test_no_files_are_no_video() -> None:
    with pytest.raises(VideoError, match="no image files"):
        ImageFiles([])

from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions, IncompleteVideoWarning, open_source
from sam2_core.videos.tiffs import TiffPages, open_tiff

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 256, (10, 12, 14), np.uint8)


def first_channel(path: Path, **options: object) -> list[np.ndarray]:
    return [frame[..., 0] for frame in open_tiff(path, ImageOptions(**options))]


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"metadata": {"axes": "TYX"}},
        {"metadata": {"axes": "ZYX"}},
        {"metadata": None},
        {"imagej": True},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"compression": "lzw"},
        {"compression": "zlib", "tile": (16, 16)},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"truncate": True},  # one header for all pages
    ],
    ids=str,
)
def test_a_stack_is_a_video(tmp_path: Path, written: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, **written)
    video = open_source(tmp_path / "a.tif")
    assert (len(video), video.size, video.frame_rate) == (10, (12, 14), None)
    assert all(np.array_equal(video[i], np.repeat(STACK[i][..., None], 3, axis=-1)) for i in (7, 0, 9))
    video.close()


@pytest.mark.parametrize(
    "kind", [{"imagej": True}, {"ome": True}, {"imagej": True, "truncate": True}], ids=str
)
def test_the_axes_of_imagej_and_ome_are_respected(tmp_path: Path, kind: dict[str, bool]) -> None:
    order = "TCZYX" if "ome" in kind else "TZCYX"
    data = RNG.integers(0, 256, (4, 3, 2, 12, 14), np.uint8)  # T Z C Y X
    written = data.transpose(["TZCYX".index(axis) for axis in order])
    tifffile.imwrite(tmp_path / "a.tif", written, metadata={"axes": order}, **kind)
    video = open_source(tmp_path / "a.tif")
    assert (len(video), video.size) == (4, (12, 14))
    assert np.array_equal(video[3][..., :2], data[3, 1].transpose(1, 2, 0))  # the middle plane
    first = open_source(tmp_path / "a.tif", ImageOptions(z=0, channels=(1,)))
    assert np.array_equal(first[2][..., 2], data[2, 0, 1])


def test_a_few_channels_of_imagej_are_one_frame(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[:2], imagej=True, metadata={"axes": "CYX"})
    video = open_source(tmp_path / "a.tif")
    assert len(video) == 1
    assert np.array_equal(video[0][..., 1], STACK[1])


def test_channels_without_names_are_told_by_the_shape(tmp_path: Path) -> None:
    data = RNG.integers(0, 256, (6, 2, 12, 14), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data)
    video = open_source(tmp_path / "a.tif")
    assert len(video) == 6
    assert np.array_equal(video[5][..., 1], data[5, 1])
    assert len(open_source(tmp_path / "a.tif", ImageOptions(axes="CTYX"))) == 2


@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 3), (5, 12, 14, 3)])
def test_single_images_and_colour_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = RNG.integers(0, 256, shape, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb" if shape[-1] == 3 else "minisblack")
    video = open_source(tmp_path / "a.tif")
    frames = data.reshape(-1, 12, 14, shape[-1] if shape[-1] == 3 else 1)
    assert (len(video), video.size) == (len(frames), (12, 14))
    assert np.array_equal(video[len(frames) - 1], np.broadcast_to(frames[-1], (12, 14, 3)))


def test_planar_colour_is_read(tmp_path: Path) -> None:
    data = RNG.integers(0, 256, (3, 12, 14), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig="separate")
    assert np.array_equal(open_source(tmp_path / "a.tif")[0], data.transpose(1, 2, 0))


def test_dark_16_bit_stacks_are_stretched_by_one_scale(tmp_path: Path) -> None:
    ramp = np.linspace(74, 495, 168).reshape(12, 14)
    data = np.stack([np.clip(ramp, 74, 495 - 20 * t) for t in range(10)]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True)
    frames = first_channel(tmp_path / "a.tif")
    assert (frames[0].min(), frames[0].max()) == (0, 255)
    assert 130 < frames[9].max() < 160
    assert max(frame.max() for frame in first_channel(tmp_path / "a.tif", contrast_limits=(0, 65535))) == 2


def test_one_page_is_read_at_a_time_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offsets = [page.dataoffsets[0] for page in file.pages]
    data = bytearray(path.read_bytes())
    for offset in offsets[1:]:
        data[offset : offset + 20] = bytes(20)
    path.write_bytes(data)
    video = open_source(path)
    assert np.array_equal(video[0][..., 0], STACK[0])
    with pytest.raises(VideoError, match="frame 4 cannot be read"):
        video[4]


def test_a_stack_with_one_header_is_mapped_and_never_read_as_a_whole(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK.astype(">u2"), truncate=True, byteorder=">")
    pages = TiffPages(tmp_path / "a.tif")
    assert isinstance(pages[3, slice(None), slice(None)], np.memmap)
    assert np.array_equal(pages[3, slice(None), slice(None)], STACK[3])
    pages.close()


def test_a_truncated_stack_gives_the_pages_that_it_has(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata=None, compression="zlib")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    with pytest.warns(IncompleteVideoWarning, match="4 frames of an unknown number are there"):
        video = open_source(tmp_path / "a.tif")
    assert len(video) == 4
    assert np.array_equal(video[1][..., 0], STACK[1])


def test_a_truncated_stack_whose_list_of_pages_is_gone_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: STACK.nbytes // 2])
    with pytest.raises(VideoError, match=r"cut off|no complete one"):  # and not a video of one frame
        open_source(tmp_path / "a.tif")


def test_a_frame_that_was_never_written_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:6], ome=True, metadata={"axes": "TYX"})
    data = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(data.replace(b'SizeT="6"', b'SizeT="9"'))
    video = open_source(tmp_path / "a.ome.tif")
    assert len(video) == 9
    assert np.array_equal(video[5][..., 0], STACK[5])
    with pytest.raises(VideoError, match=r"page 7 is missing in 'a.ome.tif'"):
        video[7]


@pytest.mark.parametrize("content", [b"", b"no tiff", b"II*\0" + bytes(40)])
def test_rubbish_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(VideoError, match=r"cannot read 'a.tif'") as refused:
        open_source(tmp_path / "a.tif")
    assert "\n" not in str(refused.value)


def test_a_folder_of_tiffs_is_one_frame_per_file(tmp_path: Path) -> None:
    for number in range(10):
        tifffile.imwrite(tmp_path / f"t{number:03}.tif", STACK[number], compression="lzw")
    video = open_source(tmp_path)
    assert (len(video), video.names[3]) == (10, "t003")
    assert np.array_equal(video[3][..., 1], STACK[3])


def test_a_folder_of_volumes_shows_one_plane(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"t{number:03}.tif", STACK[number : number + 5])
    assert np.array_equal(open_source(tmp_path)[2][..., 0], STACK[2 + 2])
    assert np.array_equal(open_source(tmp_path, ImageOptions(z=4))[2][..., 0], STACK[2 + 4])
    with pytest.raises(VideoError, match=r"no plane z=5 in 't000.tif'; it has 0\.\.4"):
        open_source(tmp_path, ImageOptions(z=5))


def test_a_folder_with_one_stack_is_that_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", STACK)
    assert len(open_source(tmp_path)) == 10


def test_a_folder_of_time_series_is_refused(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, STACK, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(VideoError, match=r"'a.tif' is a time series of 10 frames; give this file alone"):
        open_source(tmp_path)

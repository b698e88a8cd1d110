"""What a TIFF looks like in a viewer, and which TIFF files hold no video."""

import uuid
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions, open_source
from sam2_core.videos.tiffs import TiffPages

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 256, (5, 12, 14), np.uint8)
COLOURS = RNG.integers(0, 256, (3, 256), np.uint8)
FILM = RNG.integers(0, 256, (5, 12, 14, 3), np.uint8)


def frames_of(path: Path, options: ImageOptions | None = None) -> np.ndarray:
    return np.stack(list(open_source(path, options or ImageOptions())))


def gray(stack: np.ndarray) -> np.ndarray:
    return np.repeat(stack[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    "written",
    [{}, {"compression": "zlib"}, {"bigtiff": True}, {"truncate": True}, {"byteorder": ">"}],
    ids=str,
)
def test_the_colours_of_a_palette_are_shown(tmp_path: Path, written: dict[str, object]) -> None:
    path = tmp_path / "a.tif"
    table = COLOURS.astype(np.uint16) * 257
    tifffile.imwrite(path, STACK, photometric="palette", colormap=table, **written)
    assert np.array_equal(frames_of(path), COLOURS.T[STACK])
    assert np.array_equal(frames_of(path, ImageOptions(channels=(2,))), gray(COLOURS[2][STACK]))


def test_each_page_has_a_palette_of_its_own_and_eight_bits_will_do(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for table in (COLOURS, COLOURS[::-1]):
            writer.write(
                STACK[0], photometric="palette", colormap=table.astype(np.uint16), compression="zlib"
            )
    assert np.array_equal(frames_of(tmp_path / "a.tif"), [COLOURS.T[STACK[0]], COLOURS[::-1].T[STACK[0]]])


def test_a_folder_of_palettes_shows_their_colours(tmp_path: Path) -> None:
    for number, indices in enumerate(STACK):
        image = Image.fromarray(indices)
        image.putpalette(COLOURS.T.tobytes())
        image.save(tmp_path / f"{number}.tif")
    assert np.array_equal(frames_of(tmp_path), COLOURS.T[STACK])


@pytest.mark.parametrize("written", [{}, {"compression": "zlib"}, {"truncate": True}], ids=str)
def test_where_zero_is_white_it_is_shown_white(tmp_path: Path, written: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="miniswhite", **written)
    assert np.array_equal(frames_of(tmp_path / "a.tif"), gray(255 - STACK))


@pytest.mark.parametrize("dtype", ["u2", ">u2", "u4", "i2", "i4", "f2", "f4", "f8"])
def test_where_zero_is_white_values_of_any_type_are_inverted(tmp_path: Path, dtype: str) -> None:
    for kind in ("minisblack", "miniswhite"):
        values = STACK.astype(dtype) - (100 if "i" in dtype or "f" in dtype else 0)
        tifffile.imwrite(tmp_path / f"{kind}.tif", values, photometric=kind, byteorder=">")
    black, white = (frames_of(tmp_path / f"{kind}.tif") for kind in ("minisblack", "miniswhite"))
    middle = (black > 9) & (black < 246)
    assert np.abs(255 - black.astype(int) - white)[middle].max() < 5  # the percentiles are not symmetric


@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
def test_one_bit_is_black_and_white(tmp_path: Path, kind: str) -> None:
    bits = STACK > 127
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric=kind)
    assert np.array_equal(
        frames_of(tmp_path / "a.tif"), gray(np.uint8(255) * (bits ^ (kind == "miniswhite")))
    )
    Image.fromarray(bits[0]).save(tmp_path / "fax.tif", compression="group4")
    assert np.array_equal(frames_of(tmp_path / "fax.tif")[0], gray(np.uint8(255) * bits[0]))


def test_four_bits_are_not_dark(tmp_path: Path) -> None:
    values = STACK[0] // 16
    packed = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", packed, photometric="minisblack", metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        for name, value in (("BitsPerSample", 4), ("ImageWidth", 14)):
            offset, size = tags[name].valueoffset, {3: 2, 4: 4}[int(tags[name].dtype)]
            data[offset : offset + size] = value.to_bytes(size, "little")
    (tmp_path / "a.tif").write_bytes(data)
    assert np.array_equal(frames_of(tmp_path / "a.tif")[0], gray(values * 17))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_alpha_is_dropped_and_planes_are_put_together(tmp_path: Path, planar: bool, channels: int) -> None:
    film = np.concatenate([FILM, FILM[..., :1]], axis=-1)[..., :channels]
    tifffile.imwrite(
        tmp_path / "a.tif",
        film.transpose(0, 3, 1, 2) if planar else film,
        photometric="minisblack" if channels == 2 else "rgb",
        planarconfig="separate" if planar else "contig",
        extrasamples=() if channels == 3 else ("unassalpha",),
    )
    assert np.array_equal(frames_of(tmp_path / "a.tif"), gray(FILM[..., 0]) if channels == 2 else FILM)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_with_holes_are_shown(tmp_path: Path, dtype: str) -> None:
    values = RNG.normal(0, 100, (5, 12, 14)).astype(dtype)
    values[:, 0, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    shown = frames_of(tmp_path / "a.tif")
    assert shown[:, 0, :3, 0].tolist() == [[0, 255, 0]] * 5
    assert 100 < shown.mean() < 155


@pytest.mark.parametrize("dtype", ["i4", "u4", ">i4"])
def test_large_integers_are_stretched(tmp_path: Path, dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.linspace(limits.min, limits.max, 5 * 168).reshape(5, 12, 14).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    shown = frames_of(tmp_path / "a.tif")[..., 0].ravel().astype(int)
    assert (shown[0], shown[-1]) == (0, 255)
    assert set(np.diff(shown)) <= {0, 1}


@pytest.mark.parametrize("kind", ["ome", "flat", "unmarked"])
def test_only_the_first_level_of_a_pyramid_is_shown(tmp_path: Path, kind: str) -> None:
    film = RNG.integers(0, 256, (3, 64, 64), np.uint8)[: 3 if kind == "ome" else 1]
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        sub = {"subifds": 2, "metadata": {"axes": "TYX"}} if kind == "ome" else {"metadata": None}
        writer.write(film, tile=(16, 16), **sub)
        for step in (2, 4):
            smaller = film[:, ::step, ::step]
            marked = {} if kind == "unmarked" else {"subfiletype": 1}
            writer.write(smaller, tile=(16, 16), metadata=None, **marked)
    assert np.array_equal(frames_of(path), gray(film))


@pytest.mark.parametrize("written", [{}, {"compression": "zlib"}, {"contiguous": False}], ids=str)
@pytest.mark.parametrize("film", [STACK, FILM], ids=["gray", "colour"])
def test_frames_that_were_written_one_by_one_are_one_video(
    tmp_path: Path, film: np.ndarray, written: dict[str, object]
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for frame in film:
            writer.write(frame, photometric="rgb" if film is FILM else "minisblack", **written)
    assert np.array_equal(frames_of(tmp_path / "a.tif"), film if film is FILM else gray(film))


def test_volumes_that_were_written_one_by_one_are_one_video(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for frame in range(4):
            writer.write(STACK + np.uint8(frame), photometric="minisblack", metadata={"axes": "ZYX"})
    assert np.array_equal(frames_of(tmp_path / "a.tif"), gray(np.stack([STACK[2] + t for t in range(4)])))


@pytest.mark.parametrize("metadata", [None, {}])
@pytest.mark.parametrize(
    ("odd", "what"), [(np.zeros((10, 14), "u1"), "10 x 14 pixels"), (np.zeros((12, 14), "u2"), "uint16")]
)
def test_pages_of_several_kinds_are_refused(
    tmp_path: Path, odd: np.ndarray, what: str, metadata: dict[str, str] | None
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (STACK[0], STACK[1], odd, STACK[2]):
            writer.write(page, metadata=metadata, contiguous=False, photometric="minisblack")
    with pytest.raises(VideoError, match=rf"'a.tif' holds pages .* 3 of 12 x 14 .* 1 of .*{what}") as refused:
        open_source(tmp_path / "a.tif")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("kind", "channels"), [("separated", 4), ("cielab", 3)])
def test_colours_that_are_no_rgb_are_refused(tmp_path: Path, kind: str, channels: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((12, 14, channels), np.uint8), photometric=kind)
    with pytest.raises(VideoError, match=f"colours of 'a.tif' are of the kind {kind.upper()}; convert it"):
        open_source(tmp_path / "a.tif")


def write_set(folder: Path, files: int = 3) -> None:
    """An OME-TIFF of one frame per file; each file describes all."""
    names = [str(uuid.UUID(int=number)) for number in range(files)]
    places = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="t{t}.ome.tif">urn:uuid:{name}</UUID></TiffData>'
        for t, name in enumerate(names)
    )
    for t, name in enumerate(names):
        text = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{name}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            f'Type="uint8" SizeX="14" SizeY="12" SizeZ="1" SizeC="1" SizeT="{files}">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / f"t{t}.ome.tif", STACK[t], description=text, metadata=None)


def test_a_set_of_files_is_one_video(tmp_path: Path) -> None:
    write_set(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(frames_of(tmp_path / "t1.ome.tif"), gray(STACK[:3]))


def test_the_missing_file_of_a_set_is_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "t2.ome.tif").unlink()
    with pytest.raises(
        VideoError, match=r"'t0.ome.tif' is one of several files, of which 't2.ome.tif' cannot"
    ):
        open_source(tmp_path / "t0.ome.tif")


def test_a_damaged_file_in_a_folder_is_named_when_it_is_read(tmp_path: Path) -> None:
    for number, frame in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"{number}.tif", frame, compression="zlib")
    video = open_source(tmp_path)
    data = bytearray((tmp_path / "2.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "2.tif") as file:
        offset = file.pages[0].dataoffsets[0]
    data[offset : offset + 30] = bytes(30)
    (tmp_path / "2.tif").write_bytes(data)
    (tmp_path / "3.tif").unlink()
    for number in (2, 3):
        with pytest.raises(VideoError, match=f"cannot read .*'{number}.tif'"):
            video[number]
    assert np.array_equal(video[4], gray(STACK[4]))


@pytest.mark.filterwarnings("ignore::sam2_core.videos.IncompleteVideoWarning")
def test_a_damaged_tiff_is_refused_and_nothing_else(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib")
    data = (tmp_path / "a.tif").read_bytes()
    for _ in range(150):
        damaged = bytearray(data)
        for place in RNG.integers(0, len(data), 4):
            damaged[place] = RNG.integers(0, 256)
        (tmp_path / "a.tif").write_bytes(damaged)
        try:
            frames_of(tmp_path / "a.tif")
        except VideoError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some, not all


def test_a_page_is_closed_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handles: set[tifffile.FileHandle] = set()
    original = tifffile.FileHandle.open

    def noting(self: tifffile.FileHandle) -> None:
        handles.add(self)
        original(self)

    def left_open() -> list[str]:
        return [handle.name for handle in handles if not handle.closed]

    write_set(tmp_path)
    monkeypatch.setattr(tifffile.FileHandle, "open", noting)
    pages = TiffPages(tmp_path / "t0.ome.tif")
    assert np.array_equal(pages[2, slice(None), slice(None)], STACK[2])
    assert {handle.name for handle in handles} == {f"t{t}.ome.tif" for t in range(3)}
    assert left_open() == ["t0.ome.tif"]
    pages.close()
    assert left_open() == []

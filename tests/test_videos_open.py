import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pluggy
import pytest
import tifffile
import torch
from PIL import Image

from sam2_core import Point, Prompt, hookspecs, open_session, open_video, videos
from sam2_core.errors import VideoError
from sam2_core.types import Video
from sam2_core.videos import ArrayVideo, ImageOptions, LiveVideo, open_source
from sam2_core.videos.frames import frame_of
from tests import films_for_tests


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("sam2")
    manager.add_hookspecs(hookspecs)
    manager.register(videos)
    manager.check_pending()
    return manager


def test_the_readers_are_a_plugin_like_others(manager: pluggy.PluginManager) -> None:
    video = manager.hook.sam2_open_video(source=np.zeros((4, 5, 6), np.uint8), options=None)
    assert isinstance(video, Video)
    assert len(video) == 4


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "av", "zarr", "tifffile", "PIL", "imagecodecs", "dask")
    code = f"import sys, sam2_core.videos; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_video_is_returned_as_it_is() -> None:
    class Own:
        size = (2, 3)

        def __len__(self) -> int:
            return 1

        def __getitem__(self, frame_index: int, /) -> np.ndarray:
            return np.zeros((2, 3, 3), np.uint8)

    for video in (Own(), ArrayVideo(np.zeros((2, 3))), LiveVideo()):
        assert open_source(video) is video


@pytest.mark.parametrize("source", [None, 7, [1, 2], {"a": 1}, object(), "no such file.mp4", np.float32(1)])
def test_what_is_not_known_is_left_to_others(source: object) -> None:
    if isinstance(source, np.float32):
        with pytest.raises(VideoError, match="shape"):
            open_source(source)
    else:
        assert open_source(source) is None


def test_files_of_unknown_kind_are_left_to_others(tmp_path: Path) -> None:
    for name in ("notes.txt", "data.json", "no_suffix"):
        (tmp_path / name).write_text("text")
        assert open_source(tmp_path / name) is None


def test_paths_may_be_strings_and_suffixes_capital(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "A.PNG")
    assert open_source(str(tmp_path / "A.PNG"))[0].max() == 9
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 6), np.uint8))
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    assert len(open_source(tmp_path / "a.NPY")) == 3


def test_a_forgotten_video_is_freed_at_once(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 4, 6), np.uint16), compression="zlib")
    Image.new("RGB", (6, 4)).save(tmp_path / "a.gif")
    for source in (tmp_path / "a.tif", tmp_path / "a.gif", np.zeros((3, 4, 6))):
        video = open_source(source)
        assert video[0].shape == (4, 6, 3)
        freed = weakref.ref(video)
        del video
        assert freed() is None  # without the garbage collector: decoded frames and open files are large


def test_options_reach_every_reader(tmp_path: Path) -> None:
    data = np.full((4, 6), 100, np.uint16)
    Image.fromarray(data).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", data)
    for source in (data, tmp_path / "a.png", tmp_path / "a.npy"):
        assert open_source(source, ImageOptions(contrast_limits=(0, 200)))[0].tolist()[0][0] == [128] * 3


def test_films_and_pictures_have_no_axes_to_name(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "films").mkdir()
    film = films_for_tests.write(tmp_path / "films" / "film.mp4", 3)
    for source in (tmp_path, tmp_path / "a.png", film):
        for options in (ImageOptions(z=1), ImageOptions(axes="TYX")):
            with pytest.raises(VideoError, match="no planes and no axes"):
                open_source(source, options)


class Own:
    """A video of the user's own."""

    size = (4, 6)

    def __init__(self, frame: object) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return 2

    def __getitem__(self, frame_index: int, /) -> object:
        return self.frame


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((5, 5, 3), np.uint8), r"a ndarray \(5, 5, 3\) of uint8"),
        (np.zeros((4, 6), np.uint8), r"a ndarray \(4, 6\) of uint8"),
        (np.zeros((4, 6, 3), np.float32), r"a ndarray \(4, 6, 3\) of float32"),
        (torch.zeros((4, 6, 3), dtype=torch.uint8), r"a Tensor \(4, 6, 3\) of torch.uint8"),
        (None, "a NoneType"),
        ([[0]], "a list"),
    ],
)
def test_frames_of_an_own_video_are_refused_where_they_do_not_fit(frame: object, said: str) -> None:
    with pytest.raises(
        VideoError, match=rf"frame 1 of the video \(Own\) is {said}, an array \(4, 6, 3\) of uint8 is"
    ) as e:
        frame_of(open_source(Own(frame)), 1)
    assert "\n" not in str(e.value)


def test_a_session_refuses_such_a_frame() -> None:
    with (
        open_session(Own(np.zeros((5, 5, 3), np.uint8)), model="nano", device="cpu") as session,
        pytest.raises(VideoError, match=r"frame 0 of the video \(Own\) .* open_video for other kinds"),
    ):
        session.add_prompt(Prompt(0, 1, points=[Point(2, 2)]))


@pytest.mark.parametrize(
    ("size", "said"), [(None, "it has no size"), ((4, 6, 3), r"its size is \(4, 6, 3\)")]
)
def test_an_own_video_without_a_size_is_told_what_a_video_needs(size: object, said: str) -> None:
    class Half:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, frame_index: int, /) -> object:
            return np.zeros((4, 6, 3), np.uint8)

    source = Half()
    if size is not None:
        source.size = size
    with pytest.raises(VideoError, match=rf"{said}; a video needs size = \(height, width\), len\(video\)"):
        open_source(source)


@pytest.mark.parametrize("name", ["a" * 5000, "folder/" * 900, Path("b" * 300)])
def test_a_name_that_is_too_long_is_refused_in_a_short_line(name: str | Path) -> None:
    with pytest.raises(VideoError, match=r"^cannot look for .*: ") as refused:
        open_source(name)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((5, 30, 7, 9), r"open_video\(array, ImageOptions\(axes='TZYX'\)\)"),
        ((5, 2, 6, 7, 9), r"open_video\(array, ImageOptions\(axes='TCZYX'\)\)"),
        ((9,), "rows and columns at least"),
        ((2, 2, 2, 2, 8, 9), "rows and columns at most"),
    ],
)
def test_axes_that_cannot_be_told_are_explained_by_an_example_that_works(
    shape: tuple[int, ...], advice: str
) -> None:
    with pytest.raises(VideoError, match=advice) as refused:
        open_video(np.zeros(shape, np.uint8))
    if "axes=" in advice:
        axes = str(refused.value).split("axes='")[1].split("'")[0]
        assert len(open_video(np.zeros(shape, np.uint8), ImageOptions(axes=axes))) == 5


def test_the_rule_for_other_data_is_in_the_help() -> None:
    assert "0.5 and 99.8 percentiles" in str(ImageOptions.__doc__)

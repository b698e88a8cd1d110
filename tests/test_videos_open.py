import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pluggy
import pytest
import tifffile
from PIL import Image

from sam2_core import hookspecs, videos
from sam2_core.errors import VideoError
from sam2_core.types import Video
from sam2_core.videos import ArrayVideo, ImageOptions, LiveVideo, open_source
from tests import films_for_tests


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("sam2")
    manager.add_hookspecs(hookspecs)
    manager.register(videos)
    manager.check_pending()
    return manager


def test_the_readers_are_a_plugin_like_others(manager: pluggy.PluginManager) -> None:
    video = manager.hook.sam2_open_video(source=np.zeros((4, 5, 6), np.uint8))
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

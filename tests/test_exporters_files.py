"""Full disks, unwritable folders, interruptions: a file is complete or absent, an error is one line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sam2_core.errors import ExportError
from sam2_core.exporters import coco, ctc, davis, geff, labels, overlay, read, sav, tracks, ytvis
from sam2_core.exporters.files import write_json
from sam2_core.files import new_file
from sam2_core.plugins import open_video
from sam2_core.results import Masklet
from tests.masklets_for_tests import Grey, box, frame, masklets_of
from tests.skips import PLATFORM

SIZE = (7, 9)
MODULES = [labels, coco, sav, davis, ytvis, ctc, geff, tracks, overlay]
WHOLE = (coco, sav, ytvis, geff, tracks, overlay)  # one document, complete or absent
every_format = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def masklets(frames=3):
    return masklets_of({1: {t: box(SIZE, 1, t % 5, 3, 4) for t in range(frames)}})


def noisy(size, frames):
    rng = np.random.default_rng(0)
    return {1: Masklet(1, {t: frame(rng.random(size) < 0.5) for t in range(frames)})}


class Noise(Grey):
    """A video that does not compress."""

    def __getitem__(self, frame_index):
        return np.random.default_rng(frame_index).integers(0, 255, (*self.size, 3), np.uint8)


def one_line(error: pytest.ExceptionInfo[ExportError], *parts: str) -> None:
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@every_format
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, module):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExportError) as error:
        module.export(masklets(), Grey(SIZE), tmp_path / "out")
    one_line(error, str(tmp_path / "out"), "a file is in the place of a folder")
    assert files(tmp_path) == {"out": b"mine"}


@every_format
def test_a_folder_that_must_not_be_written_is_named(tmp_path, module, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    with pytest.raises(ExportError) as error:
        module.export(masklets(), Grey(SIZE), tmp_path / "out")
    one_line(error, str(tmp_path / "out"), "Permission denied")


@every_format
def test_a_disk_that_is_full_at_the_last_moment_leaves_nothing(tmp_path, module, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ExportError) as error:
        module.export(masklets(), Grey(SIZE), tmp_path)
    one_line(error, f"cannot write {str(tmp_path)!r}"[:-1], "No space left on device")
    assert not files(tmp_path)


@every_format
def test_a_disk_that_fills_up_half_way_leaves_whole_files_only(tiny_disk, module):
    video, found = Noise((128, 128), 40), noisy((128, 128), 40)
    if module is tracks:  # it takes little space
        found = {i: Masklet(i, found[1].frames) for i in range(1, 41)}
    with pytest.raises(ExportError) as error:
        module.export(found, video, tiny_disk)
    one_line(error, str(tiny_disk), "No space left on device")
    assert not [name for name in files(tiny_disk) if name.endswith(".part")]
    if module in WHOLE:
        assert not files(tiny_disk)
    else:
        back = module.read(tiny_disk)[1]
        assert 0 < len(back) < 40
        assert all(np.array_equal(back.mask(t), found[1].mask(t)) for t in back)


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{PLATFORM}mounting a tiny file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@every_format
def test_a_failing_export_keeps_what_an_earlier_one_wrote(tmp_path, module, monkeypatch):
    module.export(masklets(), Grey(SIZE), tmp_path)
    before = files(tmp_path)
    broken = {**masklets(), 2: Masklet(2, {0: frame(box((3, 3), 0, 0, 2, 2))})}
    with pytest.raises(ExportError, match="3 x 3 pixels"):
        module.export(broken, Grey(SIZE), tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("module", [labels, davis, ctc])
def test_frames_of_an_earlier_longer_export_go_and_other_files_stay(tmp_path, module):
    folder = module.export(masklets(5), Grey(SIZE, 5), tmp_path)
    (folder / "notes.txt").write_text("mine")
    (folder / "my.tif").write_text("mine")
    (folder / "00077.tif").write_text("not written by us")
    module.export(masklets(2), Grey(SIZE, 2), tmp_path)
    numbered = [p.name for p in folder.iterdir() if any(c.isdigit() for c in p.name)]
    assert len(numbered) == 3
    assert "00077.tif" in numbered
    assert (folder / "notes.txt").exists()
    assert (folder / "my.tif").exists()


def test_what_a_killed_export_left_behind_is_not_read(tmp_path):
    folder = labels.export(masklets(), Grey(SIZE), tmp_path)
    (folder / ".00007.tif.part").write_bytes(b"half")
    (folder / "._00001.tif").write_bytes(b"a file of macOS")
    assert list(read.read_labels(tmp_path)[1]) == [0, 1, 2]
    labels.export(masklets(), Grey(SIZE), tmp_path)
    assert not list(folder.glob("*.part"))


def test_a_killed_export_leaves_whole_files_only(tmp_path):
    code = """if True:
        import sys, pathlib, numpy as np
        from sam2_core import masks
        from sam2_core.exporters import labels
        from sam2_core.results import Masklet, MaskletFrame
        class Video: size = (700, 700)
        encoded = masks.encode(np.random.default_rng(0).random(Video.size) < 0.5)
        frames = dict.fromkeys(range(9999), MaskletFrame(encoded, 0.5, True, "propagated"))
        labels.export({1: Masklet(1, frames)}, Video(), pathlib.Path(sys.argv[1]))
    """
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        while process.poll() is None and len(list(tmp_path.glob("labels/*.tif"))) < 5:
            time.sleep(0.01)
        process.kill()
    assert process.returncode < 0  # killed, and not ended by itself
    assert len(read.read_labels(tmp_path)[1]) >= 5


def test_an_interrupted_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with new_file(path) as temporary:
        temporary.write_text("old")

    def interrupted():
        with new_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files(tmp_path) == {"deep/file.txt": b"old"}


def test_json_streams_iterators(tmp_path):
    import json

    document = {"a": 1, "b": iter([{"x": [1, 2]}, None]), "c": iter(()), "d": [1, [2]], "e": {"f": "é"}}
    written = json.loads(write_json(tmp_path / "a.json", document).read_text())
    assert written == {"a": 1, "b": [{"x": [1, 2]}, None], "c": [], "d": [1, [2]], "e": {"f": "é"}}


def test_hundreds_of_objects_on_large_frames_need_little_memory(tmp_path):
    """Full masks of 400 objects on 1024 x 1024 would take 400 MB per frame."""
    import tracemalloc

    size, video = (1024, 1024), Grey((1024, 1024), 2)
    found = masklets_of({i: {0: box(size, 40 * (i // 25), 40 * (i % 25), 30, 30)} for i in range(1, 401)})
    for module in (labels, coco, sav, ytvis, ctc, geff, tracks, overlay):
        tracemalloc.start()
        module.export(found, video, tmp_path)
        if hasattr(module, "read"):
            assert len(module.read(tmp_path)) == 400
        assert tracemalloc.get_traced_memory()[1] < 60e6, module.__name__
        tracemalloc.stop()


def test_importing_the_exporters_loads_no_format_library():
    heavy = ["av", "tifffile", "pycocotools", "PIL", "scipy", "imagecodecs", "torch", "geff", "zarr"]
    code = f"import sys, sam2_core.exporters.read; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_call_the_video_by_its_name(tmp_path: Path):
    np.save(tmp_path / "division 7.npy", np.zeros((3, *SIZE), np.uint8))
    for source, name in (
        (tmp_path / "division 7.npy", "division 7"),
        (np.zeros((3, *SIZE), np.uint8), "video"),
    ):
        video, folder = open_video(source), tmp_path / name
        assert json.loads(sav.export(masklets(), video, folder).read_text())["video_id"] == name
        (entry,) = json.loads(ytvis.export(masklets(), video, folder).read_text())["videos"]
        assert entry["file_names"] == [f"{name}/{index:05d}.jpg" for index in range(3)]

"""What the command line keeps, and what it says, when something goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2_core import PromptError, hookimpl, open_session, plugins
from sam2_core.cli import main
from sam2_core.cli.prompts import read_mask
from sam2_core.hookspecs import Exporter
from tests import films_for_tests
from tests.cli_for_tests import labels, track
from tests.skips import PLATFORM
from tests.videos_for_tests import Disks

CLICK = ("--point", "1@0:10,12")


def test_a_frame_that_cannot_be_read_leaves_the_frames_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(Disks()[i]).save(folder / f"{i}.png")
    (folder / "4.png").write_bytes(b"broken")
    saved = tmp_path / "s.sam2"
    assert track(folder, *CLICK, "--save", str(saved)) == 1
    error = capsys.readouterr().err
    assert "'4.png'" in error
    assert "the finished frames are in" in error
    assert error.count("\n") == 1
    assert labels(folder) == [f"{i:05}.tif" for i in range(4)]
    (folder / "4.png").unlink()
    shutil.copyfile(folder / "5.png", folder / "4.png")
    assert track(saved) == 0
    assert labels(folder) == [f"{i:05}.tif" for i in range(6)]


def test_a_format_that_fails_does_not_keep_the_others_from_being_written(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source.parent / "out").mkdir()
    (source.parent / "out" / "labels").write_text("a file is in the way")
    assert track(source, "--point", "300@0:10,12", "--format", "davis,labels,coco") == 1
    error = capsys.readouterr().err
    assert "1 to 255" in error
    assert "a file is in the place" in error
    assert error.count("\n") == 1
    assert (source.parent / "out" / "coco.json").stat().st_size > 0


def test_a_session_that_cannot_be_saved_is_said_before_the_work(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, *CLICK, "--save", str(source.parent)) == 1
    assert "a folder is there" in capsys.readouterr().err
    assert track(source, *CLICK, "--save", str(source / "s.sam2")) == 1
    assert "cannot write to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        '[{"object_id": 1, "frame": 0.7, "points": [[10, 12, 1]]}]',
        '[{"object_id": 1, "frame": 1e400, "points": [[10, 12, 1]]}]',
        '[{"object_id": "1", "frame": 0, "points": [[10, 12, 1]]}]',
        '[{"object_id": 1, "frame": 0, "points": [[10, 12, "no"]]}]',
        '[{"object_id": 1, "frame": 0, "points": [[1e999, 12, 1]]}]',
        '[{"object_id": 1, "frame": 0, "box": 0, "points": [[10, 12, 1]]}]',
        "[" * 100_000,
    ],
)
def test_wrong_values_in_a_prompt_file_are_refused(
    source: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = source.parent / "prompts.json"
    path.write_text(content)
    assert track(source, "--prompts", str(path)) == 2
    error = capsys.readouterr().err
    assert "should not happen" not in error
    assert error.count("\n") == 1


def test_masks_of_every_kind_of_image_are_read_and_broken_ones_refused(tmp_path: Path) -> None:
    mask = Disks().mask(0)
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    opaque = Image.new("L", image.size, 255)
    kinds = {"la.png": Image.merge("LA", [image, opaque]), "rgba.png": image.convert("RGBA")}
    kinds |= {"1.png": image.convert("1"), "cmyk.tif": image.convert("RGB").convert("CMYK")}
    for name, kind in kinds.items():
        kind.save(tmp_path / name)
        assert np.array_equal(read_mask(tmp_path / name), mask), name
    (tmp_path / "cut.png").write_bytes((tmp_path / "la.png").read_bytes()[:90])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for name in ("cut.png", "bomb.png"):
        with pytest.raises(PromptError, match="cannot read the mask"):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("wrong", [["fetch", "sam3"], ["import", "a.pt", "--name", "sam3"]])
def test_a_published_model_that_does_not_exist_is_wrong_usage(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *wrong]) == 2
    assert "no published model is called 'sam3'" in capsys.readouterr().err


def test_formats_of_plugins_are_named_by_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Plugin:
        @hookimpl
        def sam2_register_exporters(self, register: Callable[[str, Exporter, str], None]) -> None:
            register("mine", lambda masklets, video, folder: folder, "a test")

    manager = plugins.plugin_manager(entry_points=False)
    manager.register(Plugin())
    monkeypatch.setattr(plugins, "default_manager", lambda: manager)
    with pytest.raises(SystemExit):
        main(["track", "--help"])
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["models"], ["track", "x", "--out", "y", "--format", "z"], ["--help"]])
def test_afterwards_signals_warnings_and_output_are_as_before(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def state() -> tuple[object, ...]:
        return signal.getsignal(signal.SIGTERM), warnings.showwarning, sys.stdout.errors

    before = state()
    with suppress(SystemExit):
        main(arguments)
    assert state() == before


def test_a_command_runs_in_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(main(["models"])))
    thread.start()
    thread.join()
    assert found == [0]
    assert capsys.readouterr().err == ""


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    sam2 = f"'{sys.executable}' -m sam2_core.cli"
    script = f'set -o pipefail; sam2() {{ {sam2} "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(sys.platform == "win32", reason=f"{PLATFORM}it needs a POSIX shell")
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("sam2 track disks.npy --model copy --point 1@0:10,12 --out out | true", {0, 1}),
        ("sam2 track disks.npy --model copy --point 1@0:10,12 --out out | head -1", {0, 1}),
        ("sam2 track disks.npy --model copy --point 1@0:10,12 --out out >&-", {0}),
        ("sam2 track disks.npy --model copy --point 1@0:10,12 --out out 2>&-", {0}),
        ("PYTHONIOENCODING=ascii sam2 track disks.npy --model copy --point 1@0:10,12 --out out", {0}),
    ],
)
def test_closed_pipes_lose_nothing(source: Path, command: str, status: set[int]) -> None:
    done = shell(command, source.parent)
    assert done.returncode in status
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    assert len(labels(source)) == 12


def test_names_may_hold_colons_spaces_and_other_alphabets(source: Path) -> None:
    name = "a:b ü 細胞"
    source.rename(source.parent / f"{name}.npy")
    command = f"sam2 track '{name}.npy' --model copy --point 1@0:10,12 --out '{name}' --save '{name}.sam2'"
    done = shell(f"{command} --format overlay,davis,labels", source.parent)
    assert done.returncode == 0, done.stderr
    assert (source.parent / name / "overlay.mp4").stat().st_size > 0
    with open_session(source.parent / f"{name}.sam2") as session:
        assert session.object_ids == (1,)


def test_a_film_that_is_cut_off_is_said_in_one_line_and_tracked_as_far_as_it_goes(tmp_path: Path) -> None:
    film = films_for_tests.write(tmp_path / "film.mkv", 60)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    command = [
        sys.executable,
        "-m",
        "sam2_core.cli",
        "track",
        str(film),
        "--box",
        "1@0:0,0,20,20",
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--model", "copy", "--format", "labels"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.startswith("sam2: warning: 'film.mkv' is cut off")
    assert done.stderr.count("\n") == 1
    assert 0 < len(list((tmp_path / "out" / "labels").iterdir())) < 60

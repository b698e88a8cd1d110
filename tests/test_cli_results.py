"""What the command line writes, keeps and says of its results."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core import Masklet, Point, Session, Video, hookimpl, open_session, plugins
from sam2_core.cli import common, main
from sam2_core.errors import SessionError
from sam2_core.hookspecs import Exporter
from sam2_core.tracking.tracker import same_prompt
from tests.cli_for_tests import labels, track
from tests.videos_for_tests import Disks

CLICK = ("--point", "1@0:10,12")


def refuses(masklets: Mapping[int, Masklet], video: Video, folder: Path) -> Path:
    raise ValueError("no luck\ntoday")


def replaces(masklets: Mapping[int, Masklet], video: Video, folder: Path) -> Path:
    (folder / "mine.npz").write_text("something else")
    return folder / "mine.npz"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats of others: ``bad`` cannot write anything, ``mine`` writes a file called as sessions are."""

    class Plugin:
        @hookimpl
        def sam2_register_exporters(self, register: Callable[[str, Exporter, str], None]) -> None:
            register("bad", refuses, "a test")
            register("mine", replaces, "a test")

    manager = plugins.plugin_manager(entry_points=False)
    manager.register(Plugin())
    monkeypatch.setattr(plugins, "default_manager", lambda: manager)


def tracked(source: Path, *arguments: str) -> Path:
    """A saved session that knows object 1 on all frames."""
    saved = source.parent / "tracked.npz"
    assert track(source, *CLICK, *arguments, "--save", str(saved)) == 0
    return saved


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("sam2: ")
    assert error.count("\n") == 1
    return error


# --- what fails keeps nothing else from being written ------------------------------------------------


@pytest.mark.usefixtures("plugin")
def test_a_format_of_a_plugin_that_breaks_is_named_and_the_others_are_written(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, *CLICK, "--format", "bad,labels,coco") == 1
    assert "format bad: ValueError: no luck today" in error_of(capsys)
    assert len(labels(source)) == 12
    assert (source.parent / "out" / "coco.json").stat().st_size > 0
    assert track(source, *CLICK, "--format", "bad,labels", "--debug") == 1
    assert "in refuses" in capsys.readouterr().err


@pytest.mark.usefixtures("plugin")
def test_what_stopped_tracking_and_what_could_not_be_written_then_are_both_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(Disks()[i]).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"broken")
    assert track(folder, *CLICK, "--format", "bad,labels") == 1
    error = error_of(capsys)
    assert "'3.png'" in error
    assert "format bad: ValueError" in error
    assert len(labels(folder)) == 3


@pytest.mark.usefixtures("plugin")
def test_a_session_that_cannot_be_saved_is_said_beside_a_format(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(session: Session, path: Path) -> None:
        raise SessionError("the disk is gone")

    monkeypatch.setattr(Session, "save", fail)
    assert track(source, *CLICK, "--format", "bad,labels", "--save", str(source.parent / "s.npz")) == 1
    error = error_of(capsys)
    assert "the session: the disk is gone; format bad: ValueError" in error
    assert len(labels(source)) == 12


def test_an_interrupt_while_results_are_written_stays_one(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(session: Session, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "save", interrupt)
    assert track(source, *CLICK, "--save", str(source.parent / "s.npz")) == 130
    assert error_of(capsys) == "sam2: interrupted\n"
    assert len(labels(source)) == 12


# --- results and the session do not replace each other -----------------------------------------------


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("coco.json", "coco"),
        ("COCO.json", "labels,coco"),
        ("overlay.mp4", "overlay"),
        ("labels", "labels"),
        ("labels/s.npz", "labels"),
        ("x/../ctc/deep/s.sam2", "ctc"),
        (".labels.sam2", "labels"),  # the list of what was written
    ],
)
def test_a_session_where_results_go_is_refused_before_the_work(
    source: Path, name: str, formats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, *CLICK, "--format", formats, "--save", str(source.parent / "out" / name)) == 2
    assert "--save" in error_of(capsys)
    assert not (source.parent / "out").exists()


@pytest.mark.parametrize("name", ["labels.npz", "labels.sam2", "sav.json", "x/labels/s.npz"])
def test_a_session_beside_the_results_is_kept(source: Path, name: str) -> None:
    saved = source.parent / "out" / name
    assert track(source, *CLICK, "--format", "labels", "--save", str(saved)) == 0
    with open_session(saved) as session:
        assert len(session.masklets()[1]) == 12


@pytest.mark.usefixtures("plugin")
def test_a_format_that_replaces_the_session_all_the_same_is_said(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = source.parent / "out" / "mine.npz"
    assert track(source, *CLICK, "--format", "mine", "--save", str(saved)) == 1
    assert "a format has replaced" in error_of(capsys)


# --- corrections ---------------------------------------------------------------------------------------


def test_a_correction_adds_a_click_to_the_mask_that_is_there(source: Path) -> None:
    saved, again = tracked(source), source.parent / "again.npz"
    out = ("--model", "copy", "--out", str(source.parent / "out"))
    status = main(["track", str(saved), "--correct", "1@2:5,5,-", "--save", str(again), *out])
    assert status == 0
    with open_session(saved) as session:
        session.add_prompt(session.correction(2, 1, Point(5, 5, False)))
        (_, expected) = session.prompts
    with open_session(again) as session:
        assert [(p.frame_index, p.object_id) for p in session.prompts] == [(0, 1), (2, 1)]
        assert same_prompt(session.prompts[1], expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--correct", "7@2:5,5"), "there is no object 7"),
        (("--correct", "1@2:5"), "2 numbers"),
        (("--point", "1@2:5,5,-"), "--correct"),
    ],
)
def test_a_correction_of_nothing_is_refused(
    source: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], words: str
) -> None:
    saved = tracked(source)
    capsys.readouterr()
    before = saved.read_bytes()
    out = ("--model", "copy", "--out", str(source.parent / "out"))
    assert main(["track", str(saved), *arguments, "--save", str(saved), *out]) in (1, 2)
    assert words in error_of(capsys)
    assert saved.read_bytes() == before


# --- stale masks -------------------------------------------------------------------------------------


def test_stale_masks_are_counted_and_said(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tracked(source, "--frames", "0:4", "--json")
    assert json.loads(capsys.readouterr().out)["objects"]["1"]["stale"] == 0
    correction = (str(saved), "--model", "copy", "--out", str(source.parent / "out"))
    box = ("--box", "1@2:4,6,24,26", "--frames", "2:3")
    assert main(["track", *correction, *box, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out)["objects"]["1"]["stale"] == 2
    assert main(["track", *correction, *box]) == 0
    error = error_of(capsys)
    assert "object 1 on 2 frames of 1-3;" in error
    assert "--both" in error
    assert main(["track", *correction, *box[:2], "--both"]) == 0  # as the hint says
    assert capsys.readouterr().err == ""


def test_stale_masks_are_said_after_a_failure_too(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tracked(source)
    capsys.readouterr()

    def broken(results: object, total: int) -> None:
        raise SessionError("a broken frame")

    monkeypatch.setattr(common, "watched", broken)
    assert track(saved, "--box", "1@2:4,6,24,26") == 1
    hint, error = capsys.readouterr().err.splitlines()
    assert "object 1 on 10 frames of 1-11;" in hint
    assert "a broken frame; the finished frames are in" in error


# --- the whole video ---------------------------------------------------------------------------------


def test_both_over_the_whole_video_gives_the_canonical_result(source: Path) -> None:
    def scores(*frames: str) -> dict[int, float]:
        saved = source.parent / "scores.npz"
        click = ("--point", "1@5:15,12", "--both", "--precision", "exact")
        assert track(source, *click, *frames, "--save", str(saved), model="nano") == 0
        with open_session(saved) as session:
            return {i: frame.score for i, frame in session.masklets()[1].items()}

    canonical = scores()
    assert len(canonical) == 12
    for whole in ("0:12", ":", "0:99"):
        assert scores("--frames", whole) == canonical
    assert scores("--frames", "0:11") != {i: canonical[i] for i in range(11)}  # the quick correction


def painted(source: Path, frame_index: int) -> np.ndarray:
    return np.asarray(tifffile.imread(source.parent / "out" / "labels" / f"{frame_index:05}.tif"))


# --- no prompt, no model -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["track", "segment"])
def test_without_a_prompt_no_model_is_loaded(
    source: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "load_model", pytest.fail)
    (source.parent / "none.json").write_text("[]")
    for given in ([], ["--prompts", str(source.parent / "none.json")]):
        assert main([command, str(source), "--out", str(source.parent / "out"), *given]) == 2
        error = error_of(capsys)
        assert "no prompt was given" in error
        assert "--point 1@0:120,80" in error


def test_a_saved_session_without_prompts_says_so(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = source.parent / "empty.npz"
    with open_session(source, model="copy") as session:
        session.save(saved)
    assert track(saved) == 1
    assert "empty.npz holds none" in error_of(capsys)


def test_an_unknown_model_is_refused_without_loading_any(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "load_model", pytest.fail)
    assert track(source, *CLICK, model="nano2") == 2
    assert "no model is called 'nano2'; there are: copy," in error_of(capsys)


# --- segment -----------------------------------------------------------------------------------------


def test_segment_writes_what_was_prompted_in_a_saved_session_and_nothing_else(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, out = tracked(source), str(source.parent / "out")
    again = ["segment", str(saved), "--model", "copy", "--out", out]
    capsys.readouterr()
    assert main([*again, "--point", "2@5:15,36", "--save", str(source.parent / "two.npz")]) == 0
    assert capsys.readouterr().err == ""
    assert labels(source) == ["00000.tif", "00005.tif"]
    assert np.unique(painted(source, 5)).tolist() == [0, 2]  # as without the session
    assert main([*again, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["objects"]["1"]
    assert (found["frames"], found["stale"]) == (1, 0)
    with open_session(source.parent / "two.npz") as session:
        assert len(session.masklets()[1]) == 12


# --- progress ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plugin")
def test_every_format_shows_its_progress_on_a_terminal(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = ["labels", "coco", "sav", "davis", "ytvis", "ctc", "overlay", "tracks", "geff"]
    assert track(source, *CLICK, "--format", ",".join(formats)) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert track(source, *CLICK, "--format", ",".join([*formats, "mine"])) == 0  # it cannot be watched
    shown = capsys.readouterr().err
    for name in formats:
        steps = re.findall(rf"writing {name}: .*?/(\d+) ", shown)
        assert set(steps) == {"1" if name == "ytvis" else "12"}, name  # objects, or frames


def test_a_failure_leaves_no_empty_folder(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.parent / "new" / "out"
    assert main(["track", str(source), "--model", "copy", "--point", "1@99:1,1", "--out", str(out)]) == 1
    assert "frame 99" in capsys.readouterr().err
    assert not out.parent.exists()
    assert main(["track", str(source), "--model", "copy", "--point", "1@0:10,12", "--out", str(out)]) == 0
    assert len(list((out / "labels").iterdir())) == 12

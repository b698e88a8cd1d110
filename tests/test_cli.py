"""The command line as users and scripts call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core import open_session
from sam2_core.cli import main
from tests.cli_for_tests import labels, track
from tests.videos_for_tests import Disks


def test_track_follows_objects_from_clicks_boxes_and_masks(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = source.parent / "mask.png"
    status = track(
        source, "--point", "1@0:10,12", "--point", "1@0:40,40,-", "--box", "2@3:2,2,30,30",
        "--mask", f"3@0:{mask}", "--format", "labels,coco,sav,davis,ytvis,ctc,overlay", "--both",
    )  # fmt: skip
    assert status == 0
    out = source.parent / "out"
    assert labels(source) == [f"{i:05}.tif" for i in range(12)]
    assert len(list((out / "davis").iterdir())) == 12
    for name in ("coco.json", "sav.json", "ytvis.json", "overlay.mp4", "ctc/res_track.txt"):
        assert (out / name).stat().st_size > 0
    painted = tifffile.imread(out / "labels" / "00000.tif")
    assert (painted[Disks().mask(0)] > 0).all()
    with av.open(str(out / "overlay.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 12
    assert "wrote" in capsys.readouterr().out


def test_without_both_tracking_goes_forward_only(source: Path) -> None:
    assert track(source, "--point", "1@4:14,12") == 0
    assert labels(source) == [f"{i:05}.tif" for i in range(4, 12)]


def test_frames_limits_the_range(source: Path) -> None:
    assert track(source, "--point", "1@4:14,12", "--frames", "2:8", "--both") == 0
    assert labels(source) == [f"{i:05}.tif" for i in range(2, 8)]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ("5:2", "START is 0 or more and STOP above it"),
        ("5:5", "START is 0 or more and STOP above it"),
        ("-2:5", "START is 0 or more and STOP above it"),
        ("a:b", "write START:STOP"),
        ("5", "write START:STOP"),
        ("0:9:2", "write START:STOP"),
    ],
)
def test_frames_that_are_no_range_are_wrong_usage_in_one_line(
    source: Path, frames: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, "--point", "1@0:10,12", f"--frames={frames}") == 2
    error = capsys.readouterr().err
    assert says in error
    assert frames in error
    assert error.count("\n") == 1


def test_either_end_of_frames_may_be_left_out(source: Path) -> None:
    assert track(source, "--point", "1@4:14,12", "--frames", "9:") == 0
    assert labels(source) == ["00004.tif", "00009.tif", "00010.tif", "00011.tif"]
    assert track(source, "--point", "1@0:10,12", "--frames", ":3") == 0
    assert labels(source) == [f"{i:05}.tif" for i in range(3)]


def test_prompts_may_come_from_a_file(source: Path) -> None:
    prompts = [
        {"object_id": 5, "frame": 0, "points": [[10, 12, 1], [40, 40, 0]]},
        {"object_id": 6, "frame_index": 2, "box": [2, 2, 30, 30]},
        {"object_id": 7, "frame": 0, "mask": "mask.png"},
    ]
    path = source.parent / "prompts.json"
    path.write_text(json.dumps(prompts))
    assert track(source, "--prompts", str(path), "--json") == 0
    found = {i: tifffile.imread(source.parent / "out" / "labels" / f"{i:05}.tif") for i in (0, 2)}
    assert {5, 7} & set(np.unique(found[0]))  # they lie on the same disk; one wins
    assert 6 in np.unique(found[2])


def test_json_is_stable(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(source, "--point", "1@0:10,12", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"model", "seconds", "objects", "written"}
    assert set(found["objects"]["1"]) == {"frames", "visible", "stale", "mean_score", "mean_area"}


def test_a_saved_session_is_a_source(source: Path) -> None:
    saved = source.parent / "disks.sam2"
    assert track(source, "--point", "1@0:10,12", "--frames", "0:6", "--save", str(saved)) == 0
    with open_session(saved) as session:
        assert list(session.masklets()[1]) == list(range(6))
    assert track(saved, "--point", "2@0:10,36") == 0
    assert labels(source) == [f"{i:05}.tif" for i in range(12)]


def test_segment_writes_the_prompted_frames(source: Path) -> None:
    out = source.parent / "out"
    image = source.parent / "frame.png"
    Image.fromarray(Disks()[0]).save(image)
    assert main(["segment", str(image), "--model", "copy", "--point", "1@0:10,12", "--out", str(out)]) == 0
    assert labels(source) == ["00000.tif"]


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        # They make no sense, whatever the video is.
        (["--point", "1@0:10,12", "--model", "nano2"], "no model is called 'nano2'", 2),
        (["--point", "1@0:10,12", "--format", "lables"], "no format is called 'lables'", 2),
        (["--point", "1:500,12"], "OBJECT@FRAME", 2),
        (["--point", "a@b:500,12"], "OBJECT@FRAME", 2),
        (["--point", "1@0:10"], "2 numbers", 2),
        (["--point", "1@0:nan,3"], "finite", 2),
        (["--point", "0@0:10,12"], "start at 1", 2),
        (["--box", "1@0:10,10,5,5"], "no area", 2),
        ([], "--point 1@0:", 2),
        # They do not fit this video or this computer.
        (["--point", "1@0:10,12", "--model", "gone.pt"], "gone.pt", 1),
        (["--point", "1@99:10,12"], "frames 0..11", 1),
        (["--point", "1@0:500,12"], "outside", 1),
        (["--mask", "1@0:nothing.png"], "nothing.png", 1),
        (["--prompts", "nothing.json"], "nothing.json", 1),
        (["--point", "1@0:10,12", "--frames", "50:60"], "frames 0..11", 1),
        (["--point", "1@0:10,12", "--device", "tpu9"], "device", 1),
    ],
)
def test_a_mistake_gets_one_clear_line(
    source: Path, arguments: list[str], says: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in arguments else ["--model", "nano" if "--device" in arguments else "copy"]
    out = str(source.parent / "out")
    assert main(["track", str(source), "--out", out, *model, *arguments]) == status
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("sam2: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no list of prompts"),
        ('[{"frame": 0}]', "object_id"),
        ('[{"object_id": 1, "frame": 0}]', "empty"),
        ("3", "no list"),
        ('[{"object_id": 1, "frame": 0, "frame_index": 1, "box": [1, 1, 9, 9]}]', "the same thing"),
        ('[{"object_id": 1, "points": [[10, 12, 1]]}]', "the key 'frame' is missing"),
        (
            '[{"object_id": 1, "frame": 0, "boxes": [1, 1, 9, 9]}]',
            "'boxes' is not known; there are: object_id",
        ),
        ('["frame"]', "no object with keys"),
        ('{"object_id": 1, "frame": 0, "points": [[10, 12, 1]]}', "put the prompts into [ and ]"),
    ],
)
def test_a_broken_prompt_file_gets_one_clear_line(
    source: Path, content: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = source.parent / "prompts.json"
    path.write_text(content)
    assert track(source, "--prompts", str(path)) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_frame_and_frame_index_may_say_the_same(source: Path) -> None:
    path = source.parent / "prompts.json"
    path.write_text('[{"object_id": 1, "frame": 3, "frame_index": 3, "points": [[13, 12, 1]]}]')
    assert track(source, "--prompts", str(path)) == 0
    assert labels(source)[0] == "00003.tif"


def test_an_empty_mask_is_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(source.parent / "mask.png")
    assert track(source, "--mask", f"1@0:{source.parent / 'mask.png'}") == 1
    assert "the mask is empty" in capsys.readouterr().err


def test_a_label_image_is_not_taken_for_one_object(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = Disks().mask(0).astype(np.uint8) + 2 * Disks().mask(0, 1).astype(np.uint8)
    Image.fromarray(labels).save(source.parent / "mask.png")
    assert track(source, "--mask", f"1@0:{source.parent / 'mask.png'}") == 1
    assert "one object per file" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_is_said_before_the_work(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source.parent / "out").write_text("a file is in the way")
    assert track(source, "--point", "1@0:10,12") == 1
    assert "cannot write to" in capsys.readouterr().err


def test_wrong_usage_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["track"], ["nonsense"], ["track", "x", "--out", "y", "--precision", "some"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
    assert "usage: sam2" in capsys.readouterr().err


def test_debug_shows_the_traceback(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--debug", "segment", str(source), "--out", str(source.parent / "o"), "--model", "copy"]) == 2
    )
    assert "Traceback" in capsys.readouterr().err


def test_models_list_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["copy"]["here"] is True
    assert {"nano", "flow", "sam2.1-tiny", "sam2-large"} <= set(rows)
    assert main(["models"]) == 0


def test_a_model_that_is_not_here_says_how_to_get_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    assert track(source, "--point", "1@0:10,12", model="sam2.1-tiny") == 1
    assert "sam2 models fetch sam2.1-tiny" in capsys.readouterr().err


# --- in a process of its own -----------------------------------------------------------------------


def sam2(*arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """The installed command; ``limit`` is the largest file that it may write (a disk that is full)."""

    def lower() -> None:
        import resource

        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "sam2_core.cli", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=lower, env=os.environ)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_the_finished_frames(tmp_path: Path, kind: signal.Signals) -> None:
    np.save(tmp_path / "long.npy", np.zeros((3000, 240, 320, 3), np.uint8))
    out = tmp_path / "out"
    process = sam2(
        "track", str(tmp_path / "long.npy"), "--model", "flow", "--box", "1@0:20,20,90,90",
        "--out", str(out), "--save", str(tmp_path / "s.sam2"),
    )  # fmt: skip
    while "long.npy" not in Path(f"/proc/{process.pid}/maps").read_text():  # mapped when it is opened
        time.sleep(0.05)
    time.sleep(4)
    process.send_signal(kind)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "interrupted; the finished frames are in" in error
    assert "Traceback" not in error
    frames = sorted(p.name for p in (out / "labels").iterdir())
    assert 1 <= len(frames) < 3000
    assert frames == [f"{i:05}.tif" for i in range(len(frames))]
    with open_session(tmp_path / "s.sam2") as session:
        assert len(session.masklets()[1]) == len(frames)


def test_a_disk_that_fills_up_gets_one_line_and_leaves_no_half_file(source: Path) -> None:
    out = source.parent / "out"
    process = sam2(
        "track", str(source), "--model", "copy", "--point", "1@0:10,12", "--out", str(out),
        "--format", "labels,coco,overlay", limit=2000,
    )  # fmt: skip
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error.startswith("sam2: ")
    assert error.count("\n") == 1
    assert "overlay.mp4" in error or "coco.json" in error
    for path in (out / "labels").iterdir():
        assert tifffile.imread(path).shape == (48, 64)  # what is there is whole
    assert not (out / "overlay.mp4").exists()


def test_a_truncated_video_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(Disks()[i], format="rgb24")))
        film.mux(stream.encode())
    path.write_bytes(path.read_bytes()[:1000])
    process = sam2(
        "track", str(path), "--model", "copy", "--point", "1@0:5,5", "--out", str(tmp_path / "out")
    )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.startswith("sam2: ")
    assert error.count("\n") == 1

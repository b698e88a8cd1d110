"""A saved session goes on where it was."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sam2_core import Box, Point, Prompt, SAM2Error, Session, SessionError, open_session
from sam2_core.results import RunLengths
from tests.conftest import MODELS, model
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def started(name: str) -> Session:
    session = Session(Disks(), model(name))
    session.add_prompt(click(2).with_point(30, 30, positive=False))
    session.add_prompt(Prompt(4, 9, (Point(20, 12),), box=Box(2, 2, 30, 30)))
    session.add_prompt(Prompt(6, 9, mask=Disks().mask(6, 1)))
    return session


@pytest.mark.parametrize("name", MODELS)
def test_a_finished_session_is_served_without_computing(name: str, tmp_path: Path) -> None:
    session = started(name)
    list(session.propagate())
    session.save(tmp_path / "cells.sam2")
    video = Disks()
    with open_session(tmp_path / "cells.sam2", model=model(name), video=video) as again:
        assert video.reads == [2]  # it is looked at, whether it is the video
        video.reads.clear()
        assert same(session.masklets(), again.masklets())
        list(again.propagate())
        assert video.reads == []
        assert same(session.masklets(), again.masklets())


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_session_goes_on_to_the_same_result(name: str, tmp_path: Path) -> None:
    session = started(name)
    for result in session.propagate():
        if result.frame_index == 8:
            break
    session.save(tmp_path / "half")
    list(session.propagate())
    with open_session(tmp_path / "half", model=model(name), video=Disks()) as again:
        assert 9 not in again.masklets()[1]
        list(again.propagate())
        assert same(session.masklets(), again.masklets())


@pytest.mark.parametrize("name", MODELS)
def test_a_reopened_session_takes_corrections(name: str, tmp_path: Path) -> None:
    session = started(name)
    list(session.propagate())
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model(name), video=Disks()) as again:
        for each in (session, again):
            each.add_prompt(each.correction(8, 1, Point(18, 12)))
            list(each.propagate())
        assert same(session.masklets(), again.masklets())


def test_stale_masks_stay_stale(tmp_path: Path) -> None:
    session = started("copy")
    list(session.propagate())
    session.add_prompt(click(7))
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("copy"), video=Disks()) as again:
        assert [f.stale for f in again.masklets()[1].values()] == [
            f.stale for f in session.masklets()[1].values()
        ]
        list(again.propagate())
        list(session.propagate())
        assert same(session.masklets(), again.masklets())


def test_the_video_is_found_where_it_was_or_beside_the_session(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.stack([Disks()[i] for i in range(12)]))
    with open_session(tmp_path / "v.npy", model="copy") as session:
        session.add_prompt(click(0))
        session.save(tmp_path / "s.sam2")
    with open_session(tmp_path / "s.sam2") as again:
        assert again.model.name == "copy"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "v.npy").rename(moved / "v.npy")
    (tmp_path / "s.sam2").rename(moved / "s.sam2")
    with open_session(moved / "s.sam2") as again:
        assert again.object_ids == (1,)


def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path) -> None:
    session = started("copy")
    path = tmp_path / "s.sam2"
    session.save(path)
    with pytest.raises(SessionError, match="this video has 5"):
        open_session(path, model=model("copy"), video=Disks(5))
    with pytest.raises(SessionError, match="video=") as error:
        open_session(path, model=model("copy"))
    assert "\n" not in str(error.value)


def far(prompt: dict[str, object]) -> dict[str, object]:
    return prompt | {"points": [[1000, 1000, 1]], "mask": None}


def test_a_broken_file_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "s.sam2"
    started("copy").save(path)
    with np.load(path) as file:
        arrays = dict(file)
    document = json.loads(arrays["document"].tobytes())
    breaks: list[dict[str, object]] = [
        {"frame": arrays["frame"][:-1]},
        {"runs": arrays["runs"] + 1},
        {"object": arrays["object"] + 50},
        {"place": arrays["place"] + 1000},
        {"prompted": ~arrays["prompted"]},
        {"frame": arrays["frame"] + 0.5},
        {"frame": arrays["frame"] - 9},
        {"score": arrays["score"][:, None]},
        {"runs": arrays["runs"] + [-(2**40), 2**40, 0]},
        {"runs": arrays["runs"] + [-1, 1, 0]},
        {"place": arrays["place"] * np.array([1, 1, -1, -1], np.int32)},
        {"place": arrays["place"] - np.array([99, 0, 0, 0], np.int32)},
        {"place": arrays["place"][:, :3]},
        {"counts": arrays["counts"] * 2},
        {"counts": arrays["counts"].astype(np.int32)},
        {"document": document | {"prompts": [far(prompt) for prompt in document["prompts"]]}},
        {"document": document | {"video": document["video"] | {"size": [-48, -64]}}},
        {"document": document | {"prompts": [{"frame": 0}]}},
        {"document": document | {"version": 99}},
        {"document": document | {"objects": []}},
        {"document": [1, 2]},
    ]
    for broken in breaks:
        if "document" in broken:
            broken["document"] = np.frombuffer(json.dumps(broken["document"]).encode(), np.uint8)
        np.savez(tmp_path / "broken.npz", **(arrays | broken))  # type: ignore[arg-type]
        with pytest.raises(SessionError, match=r"broken\.npz cannot be read") as error:
            open_session(tmp_path / "broken.npz", model=model("copy"), video=Disks())
        assert "\n" not in str(error.value)


def test_a_truncated_file_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "s.sam2"
    started("copy").save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(SessionError, match="cannot be read") as error:
        open_session(path, model=model("copy"), video=Disks())
    assert "\n" not in str(error.value)


def test_numpy_numbers_are_saved(tmp_path: Path) -> None:
    session = Session(Disks(), model("copy"))
    session.add_prompt(Prompt(np.int64(0), np.int64(1), ((np.float32(10), np.float32(12)),)))  # type: ignore[arg-type]
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("copy"), video=Disks()) as again:
        assert same(session.masklets(), again.masklets())


def test_a_session_that_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = started("copy")
    path = tmp_path / "s.sam2"
    session.save(path)
    old = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(SessionError, match="No space left"):
        session.save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(SessionError, match="cannot write"):
        session.save(path / "s.sam2")


def test_a_flipped_bit_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    session = started("copy")
    list(session.propagate())
    path = tmp_path / "s.sam2"
    session.save(path)
    good, random, refusals = path.read_bytes(), np.random.default_rng(0), []
    for place in random.integers(0, len(good), 60):
        broken = bytearray(good)
        broken[place] ^= 1 << int(random.integers(8))
        path.write_bytes(broken)
        try:
            with open_session(path, model=model("copy"), video=Disks()) as again:
                assert same(session.masklets(), again.masklets())
        except SAM2Error as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sam2"
    started("copy").save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["counts"] = np.zeros(2**25, np.uint32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as packed:  # packs more than deflate ever does
        for name, array in arrays.items():
            with packed.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array)
    with pytest.raises(SessionError, match="claims to hold"):
        open_session(path, model=model("copy"), video=Disks())
    document = json.loads(arrays["document"].tobytes())
    document["video"]["size"] = [10**6, 10**6]
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    arrays["counts"] = arrays["counts"][:9]
    with path.open("wb") as target:
        np.savez_compressed(target, **arrays)
    with pytest.raises(SessionError, match="cannot be read"):
        open_session(path, model=model("copy"), video=Disks())


@pytest.mark.parametrize("name", MODELS)
def test_a_painted_mask_of_any_run_lengths_is_saved_so_that_it_opens(name: str, tmp_path: Path) -> None:
    loose = RunLengths((48, 64), 0, 0, (48, 64), np.array([1000, 0, 0, 3, 48 * 64 - 1003]))
    with open_session(Disks(4), model=model(name)) as session:
        session.add_prompt(Prompt(0, 1, mask=loose))
        list(session.propagate())
        encoded = session.masklets()[1][0].encoded
        assert (encoded.shape, encoded.area) == ((1, 3), 3)
        session.save(tmp_path / "s")
        with open_session(tmp_path / "s", model=model(name), video=Disks(4)) as opened:
            assert same(session.masklets(), opened.masklets())

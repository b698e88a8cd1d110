"""What hosts pass by mistake is said in one line, and what can be meant in one way only is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import Limits, ModelError, Prompt, PromptError, SAM2Error, Session, SessionError, open_session
from tests.conftest import model
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks


def started() -> Session:
    session = Session(Disks(), model("copy"))
    session.add_prompt(click(0))
    return session


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_a_label_image_of_several_objects_is_no_mask(dtype: type) -> None:
    labels = np.zeros((48, 48), dtype)
    labels[2:9, 2:9], labels[20:30, 20:30], labels[40:, 40:] = 1, 2, 7
    for name in ("mask", "previous"):
        with pytest.raises(PromptError, match=r"holds 3 values beside 0.*labels == id") as error:
            Prompt(0, 1, ((3, 3),) if name == "previous" else (), **{name: labels})  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    assert Prompt(0, 1, mask=labels == 2).mask is not None


@pytest.mark.parametrize("value", [1, 7, 255])
def test_numbers_of_two_values_are_masks(value: int) -> None:
    numbers = np.zeros((48, 48), np.uint8)
    numbers[3:9, 3:9] = value
    for given in (numbers, numbers.tolist()):
        mask = Prompt(0, 1, mask=given).mask
        assert mask is not None
        assert mask.sum() == 36
    assert Prompt(0, 1, mask=np.full((4, 4), value)).mask is not None


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.propagate(object_ids=5),
        lambda s: s.propagate(object_ids=[[1]]),
        lambda s: s.propagate(object_ids=["1"]),
        lambda s: s.propagate(object_ids=[1.0]),
        lambda s: s.result(1.0),
        lambda s: s.result(None),
        lambda s: s.result(0, 1),
        lambda s: s.result(0, [None]),
        lambda s: s.remove_prompt([0], 1),
        lambda s: s.remove_prompt(0, [1]),
        lambda s: s.remove_object([1]),
        lambda s: s.correction(0, [1], (3, 3)),
    ],
)
def test_what_is_no_number_is_said(ask: Callable[[Any], object]) -> None:
    with pytest.raises(SAM2Error, match=r"whole number|sequence") as error:
        ask(started())
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers() -> None:
    session = started()
    results = list(session.propagate(object_ids=np.array([1, 1])))  # type: ignore[arg-type]
    assert {type(i) for r in results for i in (r.frame_index, *r.object_ids)} == {int}
    result = session.result(np.int64(3), np.array([1]))  # type: ignore[arg-type]
    assert [type(i) for i in (result.frame_index, *result.object_ids)] == [int, int]
    assert type(session.result(True).frame_index) is int
    session.remove_prompt(np.int64(0), np.int64(1))  # type: ignore[arg-type]
    assert session.object_ids == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", -1, np.zeros((3, 3)), 1.5])
@pytest.mark.parametrize("name", ["feature_bytes", "restart_bytes", "max_conditioning_frames", "saved_bytes"])
def test_a_limit_is_a_whole_number(name: str, value: Any) -> None:
    with pytest.raises(SessionError, match=f"{name} is a whole number, at least") as error:
        Limits(**{name: value})
    assert "\n" not in str(error.value)


def test_only_some_limits_may_be_none() -> None:
    Limits(np.int64(3), None, None, 4)  # type: ignore[arg-type]
    for name in ("feature_bytes", "saved_bytes"):
        with pytest.raises(SessionError, match=f"{name} is a whole number, at least 0; got None"):
            Limits(**{name: None})


def test_a_model_without_a_name_is_not_the_default() -> None:
    with pytest.raises(ModelError, match="no model is called ''"):
        open_session(Disks(), model="")


def test_a_link_to_a_film_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a store of blobs: what the link points at has no suffix."""
    np.save(tmp_path / "blob.npy", np.stack([Disks()[i] for i in range(4)]))
    (tmp_path / "blob.npy").rename(tmp_path / "0a1b2c")
    (tmp_path / "film.npy").symlink_to(tmp_path / "0a1b2c")
    monkeypatch.chdir(tmp_path)
    with open_session("film.npy", model="copy") as session:
        assert session.source == str(tmp_path / "film.npy")
        session.add_prompt(click(0))
        session.save("s.sam2")
    with open_session("s.sam2") as again:
        assert len(again.video) == 4


@pytest.mark.parametrize("given", [None, "1@0:3,3", {"frame_index": 0}])
def test_what_is_no_prompt_is_said(given: Any) -> None:
    session = started()
    for ask in (session.add_prompt, session.candidates):
        with pytest.raises(PromptError, match=f"give a Prompt; got {type(given).__name__}"):
            ask(given)
    assert len(session.prompts) == 1

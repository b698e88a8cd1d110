"""Opening: a session leaves nothing open that it did not get, and plugins read sources as built-ins do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import (
    ImageOptions,
    ModelError,
    Session,
    SessionError,
    SessionVideoError,
    hookimpl,
    open_session,
    open_video,
    plugins,
)
from tests.conftest import model
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks

COPY = model("copy")


class Film(Disks):
    """A video that is open until it is closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Reader:
    """A plugin that opens ``mine://...``, and takes the source only."""

    def __init__(self) -> None:
        self.opened: list[Film] = []

    @hookimpl
    def sam2_open_video(self, source: object) -> Film | None:
        if not str(source).startswith("mine://"):
            return None
        self.opened.append(Film())
        return self.opened[-1]


class Chooser:
    """A plugin that also looks at the options."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @hookimpl
    def sam2_open_video(self, source: object, options: ImageOptions | None) -> Film | None:
        if source != "stack://":
            return None
        self.asked.append(options)
        return Film()


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    def register(plugin: Any) -> Any:
        manager = plugins.plugin_manager(entry_points=False)
        manager.register(plugin)
        manager.check_pending()
        monkeypatch.setattr(plugins, "default_manager", lambda: manager)
        return plugin

    return register


def saved(session: Session, path: Path) -> Path:
    session.add_prompt(click(0))
    session.save(path)
    session.close()
    return path


# --- the hook ----------------------------------------------------------------------------------------


def test_a_plugin_that_takes_the_source_only_is_asked_with_options_too(add: Callable[[Any], Any]) -> None:
    reader = add(Reader())
    for options in (None, ImageOptions(z=1)):
        assert open_video("mine://clip", options) is reader.opened[-1]
    assert len(reader.opened) == 2


def test_a_plugin_may_look_at_the_options(add: Callable[[Any], Any], tmp_path: Path) -> None:
    chooser, options = add(Chooser()), ImageOptions(channels=(2,))
    video = open_video("stack://", options)
    assert open_video("stack://") is not video
    assert chooser.asked == [options, None]
    with open_session(saved(Session(video, COPY), tmp_path / "s")):
        assert chooser.asked[2].channels == [2]  # a saved session asks for the same


def test_the_built_in_readers_come_through_the_same_hook(add: Callable[[Any], Any]) -> None:
    add(Reader())
    stack = np.random.default_rng(0).integers(0, 4000, (3, 4, 48, 64), np.uint16)
    options = ImageOptions(contrast_limits=(0, 3000), z=2, axes="TZYX")
    assert len(open_video(stack, options)) == 3


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [Disks(), "v.npy"])
def test_a_second_video_beside_one_is_refused(source: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((2, 8, 8), np.uint8))
    given = tmp_path / source if isinstance(source, str) else source
    with pytest.raises(SessionError, match="video= is for saved sessions") as error:
        open_session(given, model=COPY, video=Disks())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_model_that_cannot_be_loaded_leaves_no_video_open(
    add: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    reader = add(Reader())
    if interrupted:

        def load(*args: object, **options: object) -> object:
            raise KeyboardInterrupt

        monkeypatch.setattr(plugins, "load_model", load)
    with pytest.raises(KeyboardInterrupt if interrupted else ModelError):
        open_session("mine://clip", model="no such model")
    assert [film.closed for film in reader.opened] == [True]
    mine = Film()
    with pytest.raises(KeyboardInterrupt if interrupted else ModelError):
        open_session(mine, model="no such model")
    assert not mine.closed


def test_a_video_that_is_refused_is_closed_before_a_model_is_loaded(
    add: Callable[[Any], Any], tmp_path: Path
) -> None:
    reader = add(Reader())
    path = saved(Session(Disks(5), COPY), tmp_path / "s")
    with pytest.raises(SessionVideoError, match="this video has 12"):
        open_session(path, video="mine://clip", model="no such model")
    assert [film.closed for film in reader.opened] == [True]


@pytest.mark.parametrize("source", ["array", "gone", "other"])
def test_hosts_can_say_in_their_own_words_which_video_to_give(source: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.stack([Disks()[i] for i in range(12)]))
    opened = np.load(tmp_path / "v.npy") if source == "array" else tmp_path / "v.npy"
    path = saved(open_session(opened, model=COPY), tmp_path / "s")
    if source == "gone":
        (tmp_path / "v.npy").unlink()
    if source == "other":
        np.save(tmp_path / "v.npy", np.load(tmp_path / "v.npy")[:, ::-1])
    with pytest.raises(SessionVideoError) as error:
        open_session(path)
    assert str(error.value).startswith(f"{error.value.problem}; ")
    assert "video=" in str(error.value)
    assert "video=" not in error.value.problem
    assert "\n" not in str(error.value)


def test_what_a_session_works_on_cannot_be_exchanged() -> None:
    session = Session(Disks(), COPY)
    for name in ("video", "model"):
        with pytest.raises(AttributeError):
            setattr(session, name, getattr(session, name))


def test_a_session_asks_for_objects_that_it_has_and_a_result_is_a_mapping() -> None:
    session = Session(Disks(), COPY)
    result = session.add_prompt(click(0))
    with pytest.raises(KeyError, match="object 7"):
        result.mask(7)
    with pytest.raises(KeyError):
        session.masklets()[1].mask(5)

"""Models that note what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sam2_core.hookspecs import Segmentation, VideoModel
from sam2_core.types import Image


class Counting:
    """A model that notes what is asked of it.

    Attributes:
        calls: how often each verb was asked for.
    """

    def __init__(self, wrapped: VideoModel) -> None:
        self._wrapped, self.calls = wrapped, dict.fromkeys(("encode_image", "track", "segment"), 0)

    def __getattr__(self, name: str) -> Any:
        if name in self.calls:
            self.calls[name] += 1
        return getattr(self._wrapped, name)


def encoded_views(windowed: VideoModel, monkeypatch: pytest.MonkeyPatch) -> list[Image]:
    """The frames and windows that a model with windows encodes from now on, as they come."""
    encoded: list[Image] = []
    whole: Any = windowed.whole_frames  # type: ignore[attr-defined]
    encode = whole.encode_images

    def watched(images: Sequence[Image]) -> Any:
        encoded.extend(images)
        return encode(images)

    monkeypatch.setattr(whole, "encode_images", watched)
    return encoded


class Recording:
    """A model that keeps its answers, with the logits that a session does not show.

    Attributes:
        answers: the segmentations of all prompts and tracked frames, in the order of the calls.
    """

    def __init__(self, wrapped: VideoModel) -> None:
        self._wrapped = wrapped
        self.answers: list[Segmentation] = []

    def segment(self, *given: Any) -> Segmentation:
        self.answers.append(answer := self._wrapped.segment(*given))
        return answer

    def track(self, *given: Any) -> Sequence[Segmentation]:
        self.answers += (answers := self._wrapped.track(*given))
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

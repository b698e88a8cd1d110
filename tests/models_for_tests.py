"""A model that notes what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sam2_core.hookspecs import Segmentation, VideoModel


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

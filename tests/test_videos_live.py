import numpy as np
import pytest

from sam2_core.errors import VideoError
from sam2_core.types import Video
from sam2_core.videos import ImageOptions, LiveVideo, open_source


def frame(value: int, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def test_a_live_video_grows() -> None:
    video = LiveVideo(size=(6, 8), frame_rate=12.5)
    assert isinstance(video, Video)
    assert (len(video), video.size, video.frame_rate) == (0, (6, 8), 12.5)
    assert [video.append(frame(i)) for i in range(3)] == [0, 1, 2]
    assert len(video) == 3
    assert [int(image.mean()) for image in video] == [0, 1, 2]


def test_only_the_last_frames_are_kept() -> None:
    video = LiveVideo(keep=4)
    for i in range(10):
        video.append(frame(i))
    assert len(video) == 10
    assert [int(video[i].mean()) for i in range(6, 10)] == [6, 7, 8, 9]
    with pytest.raises(
        VideoError, match=r"frame 5 is no longer kept; this live video keeps its last 4 frames, now 6\.\.9"
    ):
        video[5]
    with pytest.raises(VideoError, match="frame 10 does not exist"):
        video[10]


def test_a_frame_of_another_size_is_refused_and_changes_nothing() -> None:
    video = LiveVideo()
    video.append(frame(1))
    for wrong in (frame(2, (8, 6)), np.zeros(5), np.zeros((6, 8, 3), complex)):
        with pytest.raises(VideoError):
            video.append(wrong)
    assert len(video) == 1
    assert video.append(frame(3)) == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (np.zeros((6, 8, 3), np.uint8), "uint8 with 3 channels"),
        (np.zeros((6, 8, 2), np.uint16), "uint16 with 2 channels"),
        (np.zeros((6, 8), np.float32), "float32 with 1 channel,"),
    ],
)
def test_a_frame_of_another_kind_is_refused_and_changes_nothing(kind: np.ndarray, said: str) -> None:
    video = LiveVideo()
    video.append(np.full((6, 8), 500, np.uint16))
    with pytest.raises(VideoError, match=f"frame 1 is {said}.* the live video is uint16 with 1 channel"):
        video.append(kind)
    assert len(video) == 1
    assert video.append(np.full((6, 8), 600, ">u2")) == 1


def test_before_its_first_frame_a_live_video_is_a_video_without_size() -> None:
    video = LiveVideo()
    assert open_source(video) is video
    with pytest.raises(VideoError, match=r"append a frame first, or say it: LiveVideo\(size="):
        _ = video.size
    with pytest.raises(VideoError, match="no frames yet"):
        video[0]
    video.append(frame(1))
    assert video.size == (6, 8)


def test_a_reader_cannot_change_a_kept_frame() -> None:
    video = LiveVideo()
    given = frame(7)
    video.append(given)
    given[:] = 0
    video[0][:] = 0
    assert video[0].min() == 7


def test_16_bit_frames_are_stretched_like_the_first_or_as_asked() -> None:
    ramp = np.linspace(74, 495, 48).reshape(6, 8).astype(np.uint16)
    video = LiveVideo()
    video.append(ramp)
    video.append(np.minimum(ramp, 300))
    assert (video[0].min(), video[0].max()) == (0, 255)
    assert 120 < video[1].max() < 150
    asked = LiveVideo(options=ImageOptions(contrast_limits=(0, 990)))
    asked.append(ramp)
    assert 120 < asked[0].max() < 135


def test_at_least_one_frame_is_kept() -> None:
    with pytest.raises(VideoError, match="keep=0"):
        LiveVideo(keep=0)

"""A table of objects and frames: what it says of places, sizes and intensities."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from sam2_core.cli import main
from sam2_core.errors import ExportError, VideoError
from sam2_core.exporters import tracks
from sam2_core.exporters.intensities import HasIntensities
from sam2_core.results import Masklet
from tests.cli_for_tests import track
from tests.masklets_for_tests import Grey, any_families, box, frame, masklets_of

SIZE = (7, 9)


class Measured(Grey):
    """A video with values of its own, and a note of what was read."""

    def __init__(self, values):
        super().__init__(values[0].shape[:2], len(values))
        self.values, self.read = values, []

    def intensities(self, frame_index):
        self.read.append(frame_index)
        return self.values[frame_index]


class Coloured(Grey):
    """Frames whose mean over red, green and blue is the column number."""

    def __getitem__(self, frame_index):
        columns = np.broadcast_to(np.arange(self.size[1]), self.size)
        return np.stack([columns, 2 * columns, 0 * columns], -1).astype(np.uint8)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(masklets, video, folder):
    return rows(tracks.export(masklets, video, folder))


def test_a_row_says_where_how_large_and_how_bright(tmp_path):
    found = masklets_of({3: {0: box(SIZE, 1, 2, 3, 4), 5: box(SIZE, 0, 0, 1, 1)}}, 0.123456789)
    prompted = frame(box(SIZE, 6, 7, 1, 2), 1.0, "prompted")
    found[7] = Masklet(7, {5: replace(prompted, stale=True)}, mother=3)
    path = tracks.export(found, Coloured(SIZE), tmp_path)
    assert path == tmp_path / "tracks.csv"
    assert path.read_bytes().decode("utf-8").split("\n") == [
        "object,frame,mother,y,x,area,top,left,bottom,right,score,visible,source,stale,"
        "intensity_mean,intensity_min,intensity_max,intensity_sum",
        "3,0,,2.0,3.5,12,1,2,3,5,0.123457,1,propagated,0,3.5,2,5,42",
        "3,5,,0.0,0.0,1,0,0,0,0,0.123457,1,propagated,0,0,0,0,0",
        "7,5,3,6.0,7.5,2,6,7,6,8,1.0,1,prompted,1,7.5,7,8,15",
        "",
    ]


def test_a_frame_without_pixels_has_no_row_and_is_not_read(tmp_path):
    found = masklets_of({1: {0: box(SIZE, 1, 1, 2, 2), 1: np.zeros(SIZE, bool), 2: box(SIZE, 0, 0, 1, 1)}})
    video = Measured([np.ones(SIZE, np.uint16)] * 3)
    assert [row["frame"] for row in written(found, video, tmp_path)] == ["0", "2"]
    assert video.read == [0, 2]


def test_frames_are_read_once_each_and_in_order_and_may_be_watched(tmp_path):
    found = masklets_of({i: {t: box(SIZE, i, t, 2, 2) for t in (3, 0, 2)} for i in (1, 2, 3)})
    video, watched = Measured([np.ones(SIZE, np.uint16)] * 4), []

    def watch(frames):
        for frame_index in frames:
            yield frame_index
            watched.append(frame_index)

    tracks.export(found, video, tmp_path, watch=watch)
    assert video.read == watched == [0, 2, 3]


def test_the_intensities_are_those_of_the_video_and_exact(tmp_path):
    values = np.full(SIZE, 65535, np.uint16)
    values[0, 0] = 7
    video = Measured([values])
    assert isinstance(video, HasIntensities)
    assert not isinstance(Grey(SIZE), HasIntensities)
    (row,) = written(masklets_of({1: {0: np.ones(SIZE, bool)}}), video, tmp_path)
    assert (row["intensity_min"], row["intensity_max"]) == ("7", "65535")
    assert int(row["intensity_sum"]) == 62 * 65535 + 7
    assert float(row["intensity_mean"]) == pytest.approx((62 * 65535 + 7) / 63)


@pytest.mark.parametrize("kind", [np.uint64, np.int64])
def test_large_whole_numbers_are_not_rounded(tmp_path, kind):
    video = Measured([np.full(SIZE, 2**55 + 1, kind)])
    (row,) = written(masklets_of({1: {0: box(SIZE, 0, 0, 1, 3)}}), video, tmp_path)
    assert (row["intensity_max"], row["intensity_sum"]) == (str(2**55 + 1), str(3 * (2**55 + 1)))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_fractions_are_added_in_double_precision(tmp_path, kind):
    size = (300, 300)
    video = Measured([np.full(size, 0.5, kind)])
    (row,) = written(masklets_of({1: {0: np.ones(size, bool)}}), video, tmp_path)
    assert (row["intensity_mean"], row["intensity_sum"]) == ("0.5", "45000")


def test_every_channel_has_columns_of_its_own(tmp_path):
    values = np.stack([np.full(SIZE, 5, np.uint16), np.full(SIZE, 40, np.uint16)], -1)
    found = masklets_of({1: {0: box(SIZE, 1, 1, 2, 2)}})
    (row,) = written(found, Measured([values]), tmp_path)
    assert (row["intensity_mean_0"], row["intensity_sum_0"]) == ("5", "20")
    assert (row["intensity_mean_1"], row["intensity_sum_1"]) == ("40", "160")
    assert "intensity_mean" not in row
    (row,) = written(found, Measured([values[..., :1]]), tmp_path)
    assert row["intensity_sum"] == "20"
    assert not [name for name in row if name[-1].isdigit()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [np.ones((3, 3))],
            r"frame 0 have the shape \(3, 3\); the video gives them as \(7, 9\) or \(7, 9, ch",
        ),
        ([np.ones((1, 7, 9, 2))], r"the shape \(1, 7, 9, 2\)"),
        ([np.full(SIZE, "a")], "the intensities of frame 0 are <U1 and no plain numbers"),
        ([np.ones((7, 9, 2)), np.ones(SIZE)], "frame 1 have 1 channels, those of the frames before 2"),
    ],
)
def test_intensities_that_do_not_fit_are_refused_and_the_older_table_stays(tmp_path, values, message):
    (tmp_path / "tracks.csv").write_text("older")
    video = Measured(values)
    video.size = SIZE
    with pytest.raises(ExportError, match=message) as error:
        tracks.export(
            masklets_of({1: dict.fromkeys(range(len(values)), box(SIZE, 0, 0, 2, 2))}), video, tmp_path
        )
    assert "\n" not in str(error.value)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"tracks.csv": "older"}


def test_a_frame_that_cannot_be_read_says_so(tmp_path):
    class Broken(Grey):
        def __getitem__(self, frame_index):
            raise VideoError("frame 0 is broken")

    with pytest.raises(VideoError, match="frame 0 is broken"):
        tracks.export(masklets_of({1: {0: box(SIZE, 0, 0, 2, 2)}}), Broken(SIZE), tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_found_is_a_table_without_rows(tmp_path):
    assert written({}, Grey(SIZE), tmp_path) == []
    assert (tmp_path / "tracks.csv").read_text().count(",") == 17


def test_the_command_line_writes_the_table_and_the_graph(source, capsys):
    assert track(source, "--point", "1@0:10,12", "--format", "tracks,geff", "--json") == 0
    out = source.parent / "out"
    assert sorted(p.name for p in out.iterdir()) == ["geff.zarr", "tracks.csv"]
    assert str(out / "geff.zarr") in capsys.readouterr().out
    assert [int(row["frame"]) for row in rows(out / "tracks.csv")] == [*range(12)]


def test_what_lies_in_the_graph_is_not_replaced_while_it_is_read(source, capsys):
    graph = source.parent / "out" / "geff.zarr"
    graph.mkdir(parents=True)
    inside = source.rename(graph / source.name)
    assert (
        main(["track", str(inside), "--model", "copy", "--out", str(graph.parent), "--format", "geff"]) == 2
    )
    assert "results as geff would replace" in capsys.readouterr().err


@settings(max_examples=30, deadline=None)
@given(any_families())
def test_the_table_is_what_whole_masks_say(tmp_path_factory, masklets):
    values = [np.random.default_rng(t).integers(0, 4000, SIZE).astype(np.uint16) for t in range(12)]
    found = written(masklets, Measured(values), tmp_path_factory.getbasetemp())
    shown = [(t, i) for i, m in masklets.items() for t, known in m.items() if known.encoded.area]
    order = [*masklets]
    assert [(int(r["frame"]), int(r["object"])) for r in found] == sorted(
        shown, key=lambda s: (s[0], order.index(s[1]))
    )
    for row in found:
        masklet, t = masklets[int(row["object"])], int(row["frame"])
        mask = masklet.mask(t)
        y, x = np.nonzero(mask)
        assert row["mother"] == ("" if masklet.mother is None else str(masklet.mother))
        assert (float(row["y"]), float(row["x"])) == pytest.approx((y.mean(), x.mean()), abs=1e-4)
        assert [int(row[n]) for n in ("area", "top", "left", "bottom", "right")] == [
            mask.sum(), y.min(), x.min(), y.max(), x.max()
        ]  # fmt: skip
        assert float(row["score"]) == masklet[t].score
        inside = values[t][mask]
        assert int(row["intensity_sum"]) == inside.sum(dtype=int)
        assert (int(row["intensity_min"]), int(row["intensity_max"])) == (inside.min(), inside.max())
        assert float(row["intensity_mean"]) == pytest.approx(inside.mean())

"""Annotated data sets in the layouts of the field, as sequences.

- DAVIS, MOSE, YouTube-VOS, LVOS: ``JPEGImages/[480p/]SEQ/*.jpg`` and ``Annotations/[480p/]SEQ/*.png``, frames
  and annotations paired by name, so that not every frame needs to be annotated
- SA-V: ``JPEGImages_24fps/SEQ/*.jpg`` and ``Annotations_6fps/SEQ/OBJECT/*.png``; or ``SEQ.mp4`` beside
  ``SEQ_manual.json``
- LVOS is DAVIS with a ``meta.json`` that holds the ``frame_range`` of objects
- CTC: ``01/*.tif`` and ``01_GT/TRA/*.tif``, with ``01_GT/SEG/man_seg*.tif`` if there are outlines
- one sequence: ``images/`` and ``masks/``, label images that are paired with frames by name, by number, or in
  order if there is one for each frame; annotations with the names of CTC (``man_seg000.tif``,
  ``man_track000.tif``) are cells
- a saved session: the frames with a prompt count as annotated, with the masks of all objects there
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sam2_core import saved
from sam2_core.errors import ExportError
from sam2_core.evaluation.pairing import by_any_means, by_name, numbers
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Cells, Sequence, Truth
from sam2_core.exporters.files import load_json, numbered, reading
from sam2_core.exporters.frames import Read, gather, labels_on
from sam2_core.exporters.read import read_sav
from sam2_core.label_images import read_label_image
from sam2_core.masks import encode
from sam2_core.results import Masklet, MaskletFrame
from sam2_core.videos.images import images_in

RESOLUTIONS = ("480p", "Full-Resolution")
"""Folders between ``JPEGImages`` and the sequences in DAVIS."""


CTC_NAME = re.compile(r"man_(seg|track)(?P<number>\d+)\.tiff?", re.IGNORECASE)
"""Annotations of the Cell Tracking Challenge."""


def find_sequences(folder: Path) -> tuple[list[Sequence], Counted]:
    """The sequences of a data set in the order of their names, and which frames its rules count.

    Raises:
        ExportError: if the folder is in none of the layouts.
    """
    if saved.is_session(folder):
        return [_session(folder)], Counted.SINCE_SEEN
    for layout, counted in LAYOUTS:
        if found := sorted(layout(folder), key=lambda sequence: sequence.name):
            return found, Counted.LVOS if layout is _davis and _is_lvos(folder / "meta.json") else counted
    raise ExportError(
        f"{str(folder)!r} is no data set: it holds neither JPEGImages/ and Annotations/ (DAVIS, MOSE, "
        "YouTube-VOS, LVOS, SA-V), nor .mp4 files beside _manual.json files (SA-V), nor 01/ and 01_GT/TRA/ "
        "(CTC), nor images/ and masks/"
    )


def _davis(folder: Path) -> Iterator[Sequence]:
    images, annotations = folder / "JPEGImages", folder / "Annotations"
    for name in RESOLUTIONS:
        if (images / name).is_dir() and (annotations / name).is_dir():
            images, annotations = images / name, annotations / name
            break
    for annotated, frames in _pairs_of_folders(annotations, images):
        yield Sequence(frames.name, frames, partial(_indexed, frames, annotated))


def _is_lvos(file: Path) -> bool:
    """Whether it says on which frames objects are to be seen; YouTube-VOS has a file of that name, too."""
    if not file.is_file():
        return False
    with reading(file):
        videos = _values(load_json(file), "videos")
        return any("frame_range" in of for video in videos for of in _values(video, "objects"))


def _values(given: Any, name: str) -> list[dict[str, Any]]:
    """The entries of a mapping inside another one, if that is what there is."""
    inner = given.get(name) if isinstance(given, dict) else None
    return [value for value in inner.values() if isinstance(value, dict)] if isinstance(inner, dict) else []


def _sav_folders(folder: Path) -> Iterator[Sequence]:
    for annotated, frames in _pairs_of_folders(folder / "Annotations_6fps", folder / "JPEGImages_24fps"):
        yield Sequence(frames.name, frames, partial(_per_object, frames, annotated))


def _sav_files(folder: Path) -> Iterator[Sequence]:
    for video in _children(folder):
        annotation = video.with_name(f"{video.stem}_manual.json")
        if video.suffix == ".mp4" and annotation.exists():
            yield Sequence(video.stem, video, partial(_from_json, annotation))


def _ctc(folder: Path) -> Iterator[Sequence]:
    for frames in _children(folder):
        annotated = folder / f"{frames.name}_GT" / "TRA"
        if frames.is_dir() and annotated.is_dir():
            read = partial(_tracks, frames, annotated)
            yield Sequence(frames.name, frames, read, cells=partial(_cells, frames, annotated))


def _plain(folder: Path) -> Iterator[Sequence]:
    frames, annotated = folder / "images", folder / "masks"
    if frames.is_dir() and annotated.is_dir():
        named = [CTC_NAME.fullmatch(path.name) for path in _children(annotated)]
        cells = Cells if named and all(named) else None
        yield Sequence(folder.name, frames, partial(_plainly, frames, annotated), cells=cells)


LAYOUTS: tuple[tuple[Callable[[Path], Iterator[Sequence]], Counted], ...] = (
    (_davis, Counted.ALL),
    (_sav_folders, Counted.SINCE_SEEN),
    (_sav_files, Counted.SINCE_SEEN),
    (_ctc, Counted.SINCE_SEEN),
    (_plain, Counted.SINCE_SEEN),
)
"""How each layout is found, and which frames its evaluation counts."""


def _session(file: Path) -> Sequence:
    session = saved.read(file)
    if session.document.source is None:
        raise ExportError(
            f"{str(file)!r} was made from an array, which it does not hold; save the array as .npy, open that"
        )
    return Sequence(file.stem, Path(session.source()), partial(_prompted, session), session.document.options)


def _prompted(session: saved.SavedSession) -> Truth:
    """What a session shows on its prompted frames: somebody has looked at these.

    Only where the masks of all objects are up to date; an object that is not known there might be there.
    """
    video = session.open_video()
    try:
        session.check(video)
    finally:
        getattr(video, "close", lambda: None)()
    prompts = {(prompt.frame_index, prompt.object_id) for prompt in session.document.prompts}
    frames: dict[int, dict[int, MaskletFrame]] = {frame_index: {} for frame_index, _ in sorted(prompts)}
    for frame_index, object_id, frame in session.rows:
        # What tracking once gave beneath a prompt is kept too; it is what was wrong.
        says = frame.source == "prompted" if (frame_index, object_id) in prompts else not frame.stale
        if frame_index in frames and says:
            frames[frame_index][object_id] = frame
    whole = {i: known for i, known in frames.items() if len(known) == len(session.document.objects)}
    if not whole:
        raise ExportError(
            f"{str(session.path)!r} has no prompted frame on which all objects are up to date; propagate() "
            "the session and save it again"
        )
    objects = {
        object_id: Masklet(object_id, {i: known[object_id] for i, known in whole.items()})
        for object_id in session.document.objects
    }
    return _truth(whole, objects)


def _children(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _pairs_of_folders(annotations: Path, images: Path) -> Iterator[tuple[Path, Path]]:
    for annotated in _children(annotations):
        if annotated.is_dir() and (images / annotated.name).is_dir():
            yield annotated, images / annotated.name


def _indexed(frames: Path, annotated: Path) -> Truth:
    return _of_labels(by_name(frames, annotated))


def _plainly(frames: Path, annotated: Path) -> Truth:
    return _of_labels(by_any_means(frames, annotated))


def _of_labels(files: Mapping[int, Path]) -> Truth:
    """What the label images of frames hold."""
    return _truth(files, gather(read for index, file in files.items() for read in _labels(index, file)))


def _labels(index: int, file: Path) -> Iterator[Read]:
    with reading(file):
        yield from labels_on(index, file)


def _per_object(frames: Path, annotated: Path) -> Truth:
    """SA-V: a folder of binary masks for each object; they may overlap."""
    every: set[int] = set()
    found: list[Read] = []
    for object_id, folder in _objects(annotated):
        files = by_name(frames, folder)
        every |= set(files)
        for index, file in files.items():
            with reading(file):
                found.append((index, object_id, encode(read_label_image(file)), None))
    return _truth(every, gather(found))


def _objects(annotated: Path) -> Iterator[tuple[int, Path]]:
    """The folders of objects that hold something; files beside them are none of ours."""
    for folder in filter(Path.is_dir, _children(annotated)):
        if not (folder.name.isascii() and folder.name.isdecimal()):
            raise ExportError(
                f"{str(folder)!r} is no number; name the folder of an object by its id, as '000'"
            )
        if _children(folder):
            yield int(folder.name), folder


def _from_json(file: Path) -> Truth:
    objects = read_sav(file)
    return _truth({t for masklet in objects.values() for t in masklet}, objects)


def _tracks(frames: Path, annotated: Path) -> Truth:
    """CTC: a cell is a track; daughters are objects of their own. Frames without a file are not annotated."""
    files = _numbered(annotated)
    places = _places(frames, files)
    return _of_labels({places[number]: file for number, file in files.items()})


def _cells(frames: Path, annotated: Path) -> Cells:
    """The table, and the outlines, numbered as the tracks are; those of planes of a volume are left out."""
    places, table = _places(frames, _numbered(annotated)), annotated / "man_track.txt"
    names = {path: CTC_NAME.fullmatch(path.name) for path in _children(annotated.parent / "SEG")}
    found = {int(name["number"]): path for path, name in names.items() if name}
    outlines = {places.get(number, number): path for number, path in sorted(found.items())}
    return Cells(table if table.exists() else None, outlines)


def _numbered(folder: Path) -> dict[int, Path]:
    with reading(folder):
        return numbered(folder, ".tif", ".tiff")


def _places(frames: Path, files: Mapping[int, Path]) -> Mapping[object, int]:
    """Where the frame of each number is: its number, unless the names of the frames say it."""
    places = numbers(images_in(frames))
    return places if files.keys() <= places.keys() else {number: number for number in files}


def _truth(frames: Iterable[int], objects: Mapping[int, Masklet]) -> Truth:
    seen = {i: m for i, m in objects.items() if any(known.encoded.area for known in m.values())}
    return Truth(tuple(sorted(frames)), seen)

"""Objects that are one: fragments are joined, lifetimes and divisions go over to the one that stays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sam2_napari import edits
from sam2_napari.workspace import Workspace

from sam2_core import Prompt, PromptError, Session, open_session

FRAMES, SIZE = 12, (40, 60)


def square(left: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[10:20, left : left + 10] = True
    return mask


@pytest.fixture
def session() -> Iterator[Session]:
    """A film in which nothing moves; object 1 is on the left from frame 0, object 2 on the right from 6."""
    with open_session(np.zeros((FRAMES, *SIZE), np.uint8), model="copy") as found:
        found.add_prompt(Prompt(0, 1, mask=square(5)))
        found.add_prompt(Prompt(6, 2, mask=square(30)))
        list(found.propagate())
        yield found


def merge(session: Session, kept: int, other: int, frame_index: int) -> None:
    list(edits.merge(Workspace(session), kept, other, frame_index))


def area(session: Session, object_id: int) -> list[int]:
    """The pixels of an object on each frame, 0 where it is not known."""
    masklet = session.masklets()[object_id]
    return [masklet[i].encoded.area if i in masklet else 0 for i in range(FRAMES)]


@pytest.mark.parametrize("here", [0, 2, 6, 9])
@pytest.mark.parametrize(("kept", "other"), [(1, 2), (2, 1)])
def test_fragments_become_one_object_that_lives_as_long_as_both(
    session: Session, kept: int, other: int, here: int
) -> None:
    session.set_lifetime(1, range(0, 5))
    session.set_lifetime(2, range(6, FRAMES))
    merge(session, kept, other, here)
    assert session.object_ids == (kept,)
    assert session.lifetime(kept) == range(FRAMES)
    list(session.propagate())
    assert all(area(session, kept))


def test_both_masks_count_where_the_other_one_has_a_prompt_or_is_shown(session: Session) -> None:
    merge(session, 1, 2, 9)
    assert {p.frame_index: p.encoded_mask.area for p in session.prompts if p.encoded_mask is not None} == {
        0: 100, 6: 200, 9: 200,
    }  # fmt: skip


def test_where_the_other_one_is_not_there_nothing_is_said(session: Session) -> None:
    session.set_lifetime(1, range(0, 9))
    session.set_lifetime(2, range(6, 9))
    merge(session, 1, 2, 10)
    assert {p.frame_index for p in session.prompts} == {0, 6}
    assert session.lifetime(1) == range(0, 9)


def test_the_division_of_a_mother_goes_over(session: Session) -> None:
    for daughter, left in ((3, 5), (4, 40)):
        session.add_prompt(Prompt(9, daughter, mask=square(left)))
    session.divide(9, 2, [3, 4])
    merge(session, 1, 2, 10)
    assert dict(session.lineage) == {3: 1, 4: 1}
    assert session.lifetime(1) == range(0, 9)


def test_a_daughter_passes_her_mother_on(session: Session) -> None:
    session.add_prompt(Prompt(6, 3, mask=square(5)))
    session.add_prompt(Prompt(9, 4, mask=square(40)))
    session.divide(6, 1, [2, 3])
    merge(session, 4, 2, 9)
    assert dict(session.lineage) == {3: 1, 4: 1}
    assert session.lifetime(4) == range(6, FRAMES)
    merge(session, 3, 4, 9)  # sisters
    assert dict(session.lineage) == {3: 1}


@pytest.mark.parametrize(("kept", "other"), [(1, 2), (2, 1)])
def test_mother_and_daughter_are_not_merged_and_nothing_changes(
    session: Session, kept: int, other: int
) -> None:
    session.divide(6, 1, [2])
    prompts = session.prompts
    with pytest.raises(PromptError, match=r"object 1 divides into 2; .* 'undivide'"):
        merge(session, kept, other, 6)
    assert session.prompts == prompts
    assert dict(session.lineage) == {2: 1}


def test_an_object_that_stands_before_the_division_cannot_be_a_daughter(session: Session) -> None:
    session.add_prompt(Prompt(2, 3, mask=square(45)))
    session.divide(6, 1, [2])
    with pytest.raises(PromptError, match="object 3 has a prompt on frame 2, before the division on frame 6"):
        merge(session, 3, 2, 6)
    assert session.object_ids == (1, 2, 3)
    assert dict(session.lineage) == {2: 1}

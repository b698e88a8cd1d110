"""All cases, and running them: figures, ratios and the distance to the floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch.utils.flop_counter import FlopCounterMode

from sam2_core.bench import actions, counts
from sam2_core.bench.cases import Case, Figures, Pair, Setting
from sam2_core.bench.measure import Seconds, alternated, products_per_second
from sam2_core.bench.steps import step

OURS = "ours"

_CASES = (
    Case("step-tiny-1", "full step, tiny 1024, 1 object", "", step("sam2.1-tiny", 1024, 1)),
    Case("step-tiny-5", "full step, tiny 1024, 5 objects", "", step("sam2.1-tiny", 1024, 5)),
    Case("step-tiny512-20", "full step, tiny 512, 20 objects", "", step("sam2.1-tiny", 512, 20)),
    Case("step-base-1", "full step, base-plus 1024, 1 object", "", step("sam2.1-base-plus", 1024, 1)),
    Case("step-base-5", "full step, base-plus 1024, 5 objects", "", step("sam2.1-base-plus", 1024, 5)),
    Case("click", "click on an encoded frame, tiny 1024", "", actions.click),
    Case("correct", "correction of 1 of 3 objects, re-propagated, tiny 256", "", actions.correct),
    Case("open", "1,000-frame 960x540 film to the first mask, tiny 1024", "", actions.first_mask),
    Case("growth", "state growth per frame and object, tiny 256", "bytes", counts.growth),
    Case("nano-1", "nano, 1 object", "frames/s", counts.nano(1)),
    Case("nano-20", "nano, 20 objects", "frames/s", counts.nano(20)),
    Case("nano-100", "nano, 100 objects", "frames/s", counts.nano(100)),
)

CASES: Mapping[str, Case] = {case.name: case for case in _CASES}
"""All cases by name."""


@dataclass(frozen=True)
class Agreement:
    """Of how many pixels masks are as those of float32, in 0..1.

    Attributes:
        ours: of our masks.
        theirs: of those of the library in bfloat16, if it took part.
    """

    ours: float
    theirs: float | None


@dataclass(frozen=True)
class Outcome:
    """What a case gave.

    Attributes:
        case: the case.
        unit: of the figures.
        ours: our figure.
        theirs: that of the library's best setting, if it took part.
        setting: what that setting was.
        wall: seconds on the clock of both, for timed work.
        floor: what our figure would be if nothing but the products took time.
        agreement: how well masks agree with float32, for steps.
    """

    case: Case
    unit: str
    ours: float
    theirs: float | None
    setting: str | None = None
    wall: tuple[float, float | None] | None = None
    floor: float | None = None
    agreement: Agreement | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better we are; None without the other side, or where we need nothing at all."""
        if self.theirs is None or not self.ours:
            return None
        return self.ours / self.theirs if self.unit == "frames/s" else self.theirs / self.ours


def run(cases: Sequence[Case], setting: Setting, rounds: int) -> Iterator[Outcome]:
    """The outcomes of cases, one after another."""
    for case in cases:
        prepared = case.prepare(setting)
        if isinstance(prepared, Figures):
            yield Outcome(case, case.unit, prepared.ours, prepared.theirs)
        else:
            yield _timed(case, prepared, setting, rounds)


def _timed(case: Case, pair: Pair, setting: Setting, rounds: int) -> Outcome:
    seconds = alternated({OURS: pair.ours, **pair.theirs}, rounds)
    on_gpu = setting.device.type == "cuda"

    def figure(taken: Seconds) -> float:
        return taken.wall if on_gpu else taken.cpu

    ours = seconds.pop(OURS)
    best = min(seconds, key=lambda name: figure(seconds[name]), default=None)
    theirs = None if best is None else seconds[best]
    return Outcome(
        case,
        "s" if on_gpu else "CPU-s",
        figure(ours),
        None if theirs is None else figure(theirs),
        best,
        (ours.wall, None if theirs is None else theirs.wall),
        None if on_gpu or pair.logits is None else _floor(pair),
        _agreement(pair),
    )


def _floor(pair: Pair) -> float:
    """Seconds that the products of our work take at the speed of a large one."""
    with FlopCounterMode(display=False) as counter:
        pair.ours()
    return float(counter.get_total_flops()) / 1e9 / products_per_second(pair.dtype)


def _agreement(pair: Pair) -> Agreement | None:
    if pair.logits is None or pair.exact is None:
        return None
    truth = pair.logits(pair.exact()) > 0
    shares = {
        name: float(((pair.logits(work()) > 0) == truth).float().mean())
        for name, work in {OURS: pair.ours, **pair.theirs}.items()
    }
    return Agreement(shares[OURS], shares.get("bfloat16"))

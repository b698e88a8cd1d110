"""Where no test may be skipped silently: with the variable CI set, a skip for another reason is a failure.

``conftest`` takes the two hooks from here; ``make check`` sets the variable.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

SHARED = Path(os.environ.get("SAM2_SHARED") or Path(__file__).parents[2] / "shared") / "data"
"""The development data."""

PLATFORM = "platform: "
"""How a reason begins where this machine cannot do what is tested."""

DATA = "development data: "
"""How a reason begins where development data are needed; they may be absent as a whole only."""


def shared_data(name: str) -> Path:
    """A file or folder of the development data; skips the test where it is absent."""
    if not (SHARED / name).exists():
        pytest.skip(f"{DATA}no {name} in {SHARED}")
    return SHARED / name


def is_allowed(reason: str) -> bool:
    """Whether a test may be skipped for this reason even where nothing is to be left out."""
    return reason.startswith(PLATFORM) or (reason.startswith(DATA) and not SHARED.is_dir())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that was skipped."""
    report = yield
    return _judged(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file that was skipped as a whole."""
    report = yield
    return _judged(report)


def _judged(report: Report) -> Report:
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not is_allowed(reason):
            report.outcome, report.longrepr = "failed", f"no test may be skipped here: {reason}"
    return report

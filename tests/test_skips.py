"""No test is skipped silently where CI is set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOOKS = "from tests.skips import pytest_make_collect_report, pytest_runtest_makereport\n"
SKIPPED = """
import pytest
from tests.skips import DATA, PLATFORM, shared_data

@pytest.mark.skip(reason="no time")
def test_marked(): ...

def test_platform(): pytest.skip(PLATFORM + "no shell")

def test_data(): shared_data("a film")

@pytest.mark.xfail
def test_expected(): raise ValueError

def test_passes(): ...
"""
WHOLE = "import pytest; pytest.importorskip('a_broken_install')"


def outcome(folder: Path, workers: str = "0", **environment: str) -> str:
    (folder / "conftest.py").write_text(HOOKS)
    (folder / "test_skipped.py").write_text(SKIPPED)
    (folder / "test_whole.py").write_text(WHOLE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-n",
        workers,
        "--continue-on-collection-errors",
        "-p",
        "no:cacheprovider",
        str(folder),
    ]
    given = {name: value for name, value in os.environ.items() if name not in ("CI", "SAM2_SHARED")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**given, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    assert bool(done.returncode) is ("CI" in environment)
    return done.stdout


def test_elsewhere_skips_are_listed_with_their_reasons(tmp_path: Path) -> None:
    shown = outcome(tmp_path, SAM2_SHARED=str(tmp_path / "nothing"))
    assert "1 passed, 4 skipped, 1 xfailed" in shown
    assert "SKIPPED [1] test_skipped.py:5: no time" in shown


@pytest.mark.parametrize(("there", "workers"), [(False, "0"), (True, "0"), (False, "1")])
def test_in_ci_only_the_platform_and_data_that_are_absent_as_a_whole_are_reasons(
    tmp_path: Path, there: bool, workers: str
) -> None:
    if there:
        (tmp_path / "shared" / "data").mkdir(parents=True)
    shown = outcome(tmp_path, workers, CI="1", SAM2_SHARED=str(tmp_path / "shared"))
    assert "no test may be skipped here: no time" in shown
    assert "no test may be skipped here: could not import 'a_broken_install'" in shown
    assert ("no test may be skipped here: development data: no a film" in shown) is there
    assert "no test may be skipped here: platform" not in shown

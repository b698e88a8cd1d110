"""Ctrl-C before there is anything to keep: one line and status 130, as a shell has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.skips import PLATFORM

SLOW = "import pathlib, time; pathlib.Path('loading').touch(); time.sleep(60)"


def interrupted(folder: Path, *arguments: str) -> tuple[int, str]:
    """Status and stderr of ``sam2``, interrupted as soon as there is a file called 'loading'."""
    command = [sys.executable, "-c", "from sam2_core.cli import main; raise SystemExit(main())", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[1]}"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not (folder / "loading").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.mark.skipif(sys.platform == "win32", reason=f"{PLATFORM}it sends a signal")
@pytest.mark.parametrize("module", ["argparse", "numpy", "tqdm", "torch"])
def test_an_interrupt_while_libraries_load_is_one_line(tmp_path: Path, module: str) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((3, 48, 64, 3), np.uint8))
    (tmp_path / f"{module}.py").write_text(SLOW)  # found before the real one
    status, error = interrupted(tmp_path, "track", "clip.npy", "--point", "1@0:10,12", "--out", "out")
    assert status == 130
    assert error == "sam2: interrupted\n"

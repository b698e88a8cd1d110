"""What the package promises as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pluggy
import pytest
from safetensors import safe_open

import sam2_core
from sam2_core import errors, hookimpl, plugins
from sam2_core.hookspecs import ModelLoader
from tests.conftest import model
from tests.videos_for_tests import Disks

ROOT = Path(__file__).parents[1]


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "torch av tifffile zarr PIL scipy cv2 pycocotools imagecodecs transformers"
    code = f"import sys, sam2_core; print([m for m in {heavy.split()!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "used",
    [
        "[getattr(sam2_core, name) for name in sam2_core.__all__]",
        "import sam2_core.session, sam2_core.saved, sam2_core.cli.commands",
        "from sam2_core import plugins; plugins.models(); plugins.exporters_by_name()",
    ],
    ids=["public names", "session and commands", "what is registered"],
)
def test_nothing_loads_torch_before_a_model_is_loaded(used: str) -> None:
    code = f"import sys, sam2_core; {used}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


PUBLIC = """
Box Candidate ExportError Found FrameResult ImageOptions Limits LiveVideo Mask Masklet MaskletFrame ModelError
Origin Point Prompt PromptError RunLengths SAM2Error Seeding Session SessionClosedError SessionError
SessionVideoError SupersededError Video VideoError
automatic_prompts exporter fetch_model hookimpl load_model model_names open_session open_video saved_source
"""


def test_the_public_names_are_these() -> None:
    assert sam2_core.__all__ == PUBLIC.split()
    for name in sam2_core.__all__:
        assert getattr(sam2_core, name).__doc__, name


def test_every_error_is_a_sam2_error_and_stands_in_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and value.__module__ == errors.__name__:
            assert issubclass(value, sam2_core.SAM2Error)
            assert errors.__doc__ is not None
            assert name in errors.__doc__


def test_a_plugin_brings_a_model_and_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        @hookimpl
        def sam2_register_models(self, register: Callable[[str, ModelLoader, str], None]) -> None:
            register("mine", lambda device, precision: model("copy"), "a test")

        @hookimpl
        def sam2_open_video(self, source: object) -> object:
            return Disks() if source == "mine://clip" else None

    manager = plugins.plugin_manager(entry_points=False)
    manager.register(Plugin())
    manager.check_pending()
    assert {"mine", "nano", "copy", "flow"} <= set(plugins.models(manager))
    monkeypatch.setattr(plugins, "default_manager", lambda: manager)
    assert len(plugins.open_video("mine://clip")) == 12
    with pytest.raises(sam2_core.VideoError, match="no file or folder called 'mine://other'"):
        plugins.open_video("mine://other")


def test_a_plugin_with_a_hook_that_does_not_exist_is_refused() -> None:
    class Plugin:
        @hookimpl
        def sam2_register_modles(self) -> None: ...

    manager = plugins.plugin_manager(entry_points=False)
    manager.register(Plugin())
    with pytest.raises(pluggy.PluginValidationError):
        manager.check_pending()


def test_files_stay_small() -> None:
    lengths = [len(p.read_text().splitlines()) for p in (ROOT / "sam2_core").rglob("*.py")]
    assert max(lengths) <= 400
    assert sorted(lengths)[len(lengths) // 2] < 150


def test_python_m_is_the_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "sam2_core.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == f"sam2-core {sam2_core.__version__}"


def test_the_model_card_is_that_of_the_bundled_weights() -> None:
    weights = Path(sam2_core.__file__).parent / "weights"
    with safe_open(weights / "nano.safetensors", "pt") as file:
        steps = file.metadata()["steps"]
    assert f"`{steps}`" in (weights / "nano.md").read_text(encoding="utf-8")

"""Two processes train one network."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
import torch
from sam2_core.models.config import ConvTrunkConfig, SAM2Config
from sam2_core.training.parallel import Lanes
from sam2_core.training.trainer import Plan, Trainer
from sam2_core.training.warmups import DrawPrompts

trunk = ConvTrunkConfig((8, 16, 16, 32), (1, 1, 1, 1))
network = SAM2Config(
    "test", trunk, image_size=64, dim=32, memory_dim=16, memory_layers=1, memory_hidden=32,
    mask_dims=(4, 8, 8, 16), decoder_hidden=32,
)
lanes = Lanes.join()
folder = Path(sys.argv[1])
trainer = Trainer(Plan(network=network, stages=(DrawPrompts(3, objects=4),)), folder, lanes)
losses = [progress.loss for progress in trainer.run()]
weights = torch.cat([weight.detach().flatten() for weight in trainer.network.parameters()])
torch.save({"losses": losses, "weights": weights}, folder / f"lane{lanes.lane}.pt")
assert lanes.agree(lanes.lane == 1)
lanes.leave()
"""


def test_two_processes_see_different_prompts_and_keep_equal_weights(tmp_path):
    import torch

    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, str(script), str(tmp_path)],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    one, two = (torch.load(tmp_path / f"lane{lane}.pt", weights_only=True) for lane in range(2))
    assert one["losses"] != two["losses"]
    assert torch.equal(one["weights"], two["weights"])
    assert (tmp_path / "checkpoint.pt").exists()

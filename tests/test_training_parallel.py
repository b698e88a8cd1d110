"""Two processes train one network; what the script asserts holds in both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
import torch
from sam2_core.training.parallel import Processes
from sam2_core.training.trainer import Trainer
from sam2_core.training.warm_up_stages import DecoderWarmUp
from tests.training_for_tests import tiny_plan

processes = Processes.join()
folder = Path(sys.argv[1])
trainer = Trainer(tiny_plan(stages=(DecoderWarmUp(3, objects=4),)), folder, processes)
losses = [progress.loss for progress in trainer.run()]
weights = torch.cat([weight.detach().flatten() for weight in trainer.network.parameters()])
torch.save({"losses": losses, "weights": weights}, folder / f"rank{processes.rank}.pt")
assert processes.any(processes.rank == 1)
numbers, more = torch.tensor([1.0 + 2 * processes.rank]), torch.tensor([[processes.rank, 10.0]])
processes.average([numbers, more])
assert (numbers.tolist(), more.tolist()) == ([2.0], [[0.5, 10.0]])
assert not processes.any(False)
processes.leave()
"""


def test_two_processes_see_different_prompts_and_keep_equal_weights(tmp_path):
    import torch

    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stdout
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert one["losses"] != two["losses"]
    assert torch.equal(one["weights"], two["weights"])
    assert (tmp_path / "checkpoint.pt").exists()

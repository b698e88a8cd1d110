"""Which weights learn at which rate."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sam2_core.errors import ModelError
from sam2_core.models.checkpoints import build
from sam2_core.models.config import HieraConfig, SAM2Config, config
from sam2_core.training.optimiser import layer_shares, parameter_groups
from sam2_core.training.plan import fine_tuning_plan
from sam2_core.training.trainer import Trainer
from sam2_core.training.warm_up_stages import DecoderWarmUp
from tests.training_for_tests import TINY, tiny_network, tiny_plan

HIERA = SAM2Config(
    name="test",
    trunk=HieraConfig((8, 16, 32, 64), (1, 2, 4, 8), (1, 2, 3, 1), windows=(8, 4, 4, 2), global_blocks=(4,)),
    image_size=64,
    dim=32,
    memory_dim=16,
    memory_layers=1,
    memory_hidden=32,
    mask_dims=(4, 8, 8, 16),
    decoder_hidden=32,
)
TRUNK = "image_encoder.trunk."


def test_in_hiera_the_rate_falls_block_by_block_to_the_patches():
    """As Meta's optimiser configuration numbers the layers; position embeddings keep the full rate."""
    shares = layer_shares(build(HIERA), 0.5)
    for block in range(7):
        found = {share for name, share in shares.items() if name.startswith(f"{TRUNK}blocks.{block}.")}
        assert found == {0.5 ** (7 - block)}
    assert shares[f"{TRUNK}patch_embed.proj.weight"] == 0.5**8
    assert shares[f"{TRUNK}pos_embed"] == shares[f"{TRUNK}pos_embed_window"] == 1
    assert {share for name, share in shares.items() if not name.startswith(TRUNK)} == {1.0}


def test_in_the_convolutional_trunk_it_falls_along_the_way_of_the_image():
    shares = layer_shares(build(TINY), 0.9)
    way = [
        "stem.weight",
        "stages.0.0.conv1.weight",
        "stages.1.0.conv1.weight",
        "stages.2.0.0.conv1.weight",
        "stages.3.0.linear1.weight",
        "stages.3.1.pwconv1.weight",
    ]
    powers = [round(math.log(shares[TRUNK + name], 0.9)) for name in way]
    assert powers == [6, 5, 4, 3, 2, 1]
    for stage in range(4):
        into = shares[f"{TRUNK}norms.{stage}.weight"]
        assert into == shares[TRUNK + way[1 + stage]]
        assert stage == 0 or shares[f"{TRUNK}downsample.{stage - 1}.weight"] == into
    assert {share for name, share in shares.items() if not name.startswith(TRUNK)} == {1.0}


@pytest.mark.parametrize("sizes", [TINY, HIERA])
def test_every_weight_is_in_one_group_with_its_share(sizes):
    network = build(sizes)
    shares = {id(weight): layer_shares(network, 0.8)[name] for name, weight in network.named_parameters()}
    groups = parameter_groups(network, 0.1, 0.8)
    members = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(members) == sorted(shares)
    assert all(shares[id(weight)] == group["share"] for group in groups for weight in group["params"])
    two = parameter_groups(network, 0.1)
    assert [(group["weight_decay"], group["share"]) for group in two] == [(0.1, 1.0), (0.0, 1.0)]


def test_layers_near_the_image_move_less(tmp_path):
    """The first step of Adam moves every weight by the rate, whatever the gradient."""
    start = tiny_network()
    images = tiny_plan().stages[2]
    for decay, ratio in ((1.0, 1.0), (0.5, 0.5**6)):
        plan = tiny_plan(
            stages=(replace(images, steps=1, warm_up_steps=1),), layer_decay=decay, weight_decay=0.0
        )
        trainer = Trainer(plan, tmp_path / str(decay), start=start)
        list(trainer.run())
        moved = {
            name: float((value - start.state_dict()[name]).abs().max())
            for name, value in trainer.network.state_dict().items()
        }
        first, last = moved[f"{TRUNK}stem.weight"], moved["image_encoder.neck.convs.0.conv.weight"]
        assert first / last == pytest.approx(ratio, rel=0.05)


def test_published_weights_are_finetuned_at_the_rates_of_their_recipe():
    plan = fine_tuning_plan(config("sam2.1-tiny"), 100)
    (stage,) = plan.stages
    assert (stage.learning_rate_at(30), plan.layer_decay) == (5e-6, 0.9)
    assert stage.learning_rate_at(99) == pytest.approx(5e-7, rel=0.2)
    assert fine_tuning_plan(config("nano"), 100).stages[0].learning_rate_at(30) == 2e-4


def test_a_run_with_another_layer_decay_is_refused(tmp_path):
    stages = (DecoderWarmUp(1, objects=2),)
    Trainer(tiny_plan(stages=stages), tmp_path).save()
    with pytest.raises(ModelError, match="holds a run with other layer decay; give another folder"):
        Trainer(tiny_plan(stages=stages, layer_decay=0.9), tmp_path)


def test_a_checkpoint_without_shares_is_gone_on_with(tmp_path):
    """Those of earlier versions have two groups that say nothing of a share."""
    stages = (DecoderWarmUp(2, objects=2),)
    whole = Trainer(tiny_plan(stages=stages), tmp_path / "whole")
    list(whole.run())
    trainer = Trainer(tiny_plan(stages=stages), tmp_path / "old")
    next(trainer.run())
    trainer.save()
    state = torch.load(trainer.checkpoint, weights_only=True)
    for group in state["optimiser"]["param_groups"]:
        del group["share"]
    del state["plan"]["layer decay"]
    torch.save(state, trainer.checkpoint)
    resumed = Trainer(tiny_plan(stages=stages), tmp_path / "old")
    list(resumed.run())
    for name, value in whole.averaged.items():
        assert torch.equal(resumed.averaged[name], value), name

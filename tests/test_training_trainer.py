"""The engine: it learns, it survives a kill, and what it exports can be loaded."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sam2_core.models.checkpoints import build
from sam2_core.models.config import ConvTrunkConfig, SAM2Config
from sam2_core.training.bank import ClipBank, draw_batch
from sam2_core.training.checkpoint import Journal
from sam2_core.training.initialise import NECK_SCALES, initialise, rescale_neck
from sam2_core.training.lessons import FollowObjects, SegmentImages
from sam2_core.training.random import Dice
from sam2_core.training.rollout import Script, roll_out
from sam2_core.training.trainer import Plan, Trainer
from sam2_core.training.validation import held_out, validate
from sam2_core.training.warmups import DrawPrompts, TellApart

TINY = SAM2Config(
    name="test",
    trunk=ConvTrunkConfig((8, 16, 16, 32), (1, 1, 1, 1)),
    image_size=64,
    dim=32,
    memory_dim=16,
    memory_layers=1,
    memory_hidden=32,
    rope_theta=100.0,
    mask_dims=(4, 8, 8, 16),
    decoder_hidden=32,
)


def tiny_plan(**changes) -> Plan:
    images = SegmentImages(3, clips=2, objects=2, rounds=1)
    stages = (
        DrawPrompts(2, objects=4),
        TellApart(2, clips=2, samples=20),
        images,
        FollowObjects(3, clips=1, frames=3, objects=2, images=0.3, image_stage=images, corrected=0.5),
    )
    return Plan(
        **{"network": TINY, "stages": stages, "clip_frames": 4, "bank": 12, "save_every": 1e9} | changes
    )


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_few_steps_make_the_loss_smaller(tmp_path):
    plan = tiny_plan(stages=(DrawPrompts(60, objects=8, warm_up=5, rate=3e-3),))
    losses = [progress.loss for progress in Trainer(plan, tmp_path).run()]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:5]) * 2


def test_a_killed_run_ends_with_the_same_weights(tmp_path):
    whole = Trainer(tiny_plan(), tmp_path / "whole")
    list(whole.run())
    for stop_at in (3, 7):
        trainer = Trainer(tiny_plan(), tmp_path / "killed")
        for progress in trainer.run():
            if progress.step == stop_at:
                trainer.save()
            if progress.step > stop_at:  # a kill: what happened since the checkpoint is lost
                break
    resumed = Trainer(tiny_plan(), tmp_path / "killed")
    assert resumed.step == 7
    list(resumed.run())
    assert resumed.step == whole.step == 10
    for name, value in whole.averaged.items():
        torch.testing.assert_close(resumed.averaged[name], value, rtol=0, atol=0)


def test_a_run_stops_after_its_time_and_can_go_on(tmp_path):
    trainer = Trainer(tiny_plan(), tmp_path)
    assert len(list(trainer.run(seconds=0))) == 4
    assert Trainer(tiny_plan(), tmp_path).step == 4


def test_the_export_is_float16_and_loads(tmp_path):
    trainer = Trainer(tiny_plan(stages=(DrawPrompts(1, objects=2),)), tmp_path)
    list(trainer.run())
    file = tmp_path / "test.safetensors"
    weights = load_file(file)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["config"] == "test"
    network = build(TINY)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, strict=True)


def test_every_weight_that_is_used_is_trained(tmp_path):
    torch.manual_seed(0)
    network = build(TINY).eval()
    initialise(network)
    batch = draw_batch(Dice(0), ClipBank(frames=3, size=64, start=4), 0, clips=1, frames=3, objects=2)
    for kind in ("mask", "click"):
        answers = list(roll_out(network, batch, Script(kind, 0 if kind == "mask" else 1, 1), Dice(1)))
        frames = [(step.frame, step.prompted) for step in answers]
        tracked = [(1, False), (1, True), (2, False)]
        assert frames == (tracked if kind == "mask" else [(0, True), (0, True), *tracked])
        sum(step.prediction.all_logits_nkhw.square().mean() for step in answers).backward()
    silent = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert {name.split(".")[0] for name in silent} <= {
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
        "sam_prompt_encoder",
        "sam_mask_decoder",
    }


def test_the_neck_gets_the_wanted_scales():
    torch.manual_seed(0)
    network = build(TINY)
    initialise(network)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        rescale_neck(network.image_encoder, images)
        spread = [
            float((level - level.mean((0, 2, 3), keepdim=True)).std())
            for level in network.image_encoder(images)
        ]
    assert spread == pytest.approx(NECK_SCALES, rel=0.05)


def test_validation_compares_with_copying_the_first_mask():
    torch.manual_seed(0)
    network = build(TINY).eval()
    initialise(network)
    figures = validate(network, [held_out(number, 3, 64, objects=2) for number in range(2)])
    assert set(figures) == {"click", "clicks3", "box", "mask", "copy"}
    assert all(0 <= value <= 1 for value in figures.values())
    assert figures["copy"] > 0.2


def test_a_trainer_validates_its_averaged_weights(tmp_path):
    figures = Trainer(tiny_plan(clip_frames=2), tmp_path).validate(1)
    assert set(figures) == {"click", "clicks3", "box", "mask", "copy"}


def test_the_journal_forgets_what_a_killed_run_wrote_too_much(tmp_path):
    journal = Journal(tmp_path / "log.jsonl")
    for step in (20, 40, 60):
        journal.write({"step": step, "loss": 1.0})
    with journal.path.open("a") as file:
        file.write('{"step": 80, "lo')
    journal.resume(45)
    assert [json.loads(line)["step"] for line in journal.path.read_text().splitlines()] == [20, 40]


def test_the_learning_rate_rises_stays_and_falls():
    stage = DrawPrompts(100, rate=1.0, final_rate=0.1, warm_up=10, cool_down=50)
    rates = [stage.rate_at(step) for step in (0, 9, 40, 75, 99)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.55, 0.118])

"""The network by itself: its names, its sizes, and what holds whatever the weights."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_core.errors import ModelError
from sam2_core.models import attention
from sam2_core.models.config import CONFIGS, config
from sam2_core.models.positions import rotary_turns, sine_grid
from sam2_core.models.preprocess import MEAN, STD, preprocess
from sam2_core.models.sam2 import SAM2, Features, PointPrompts

torch.set_num_threads(1)  # on a busy machine two spinning threads are slower than one

# Parameters, those of the image encoder, and tensors of 2.1 (2.0 has three less), counted in the
# architecture of the release.
PUBLISHED = {
    "tiny": (38_962_498, 27_219_136, 471),
    "small": (46_060_354, 34_316_992, 519),
    "base-plus": (80_850_178, 69_106_816, 615),
    "large": (224_446_642, 212_703_280, 903),
}
# All that is not in the image encoder is the same in all sizes: tensors and parameters.
PARTS = {
    "memory_attention": (106, 5_922_304),
    "memory_encoder": (40, 1_384_608),
    "sam_mask_decoder": (131, 4_215_109),
    "sam_prompt_encoder": (17, 6_220 + 256),
    "obj_ptr_proj": (6, 197_376),
    "obj_ptr_tpos_proj": (2, 16_448),
    "mask_downsample": (2, 17),
    "image_encoder.neck": (8, None),
}
LOOSE = {
    "maskmem_tpos_enc": (7, 1, 1, 64),
    "no_mem_embed": (1, 1, 256),
    "no_mem_pos_enc": (1, 1, 256),
    "no_obj_ptr": (1, 256),
    "no_obj_embed_spatial": (1, 64),
}
# Names of the release, as <pattern> <shape of the weight>; a bias has the first number of its weight
# (the second in transposed convolutions). "{a-b,c}" stands for each of the numbers.
NAMES = """
image_encoder.trunk.pos_embed 1x96x7x7
image_encoder.trunk.pos_embed_window 1x96x8x8
image_encoder.trunk.patch_embed.proj.weight 96x3x7x7
image_encoder.trunk.blocks.{0-1}.norm1.weight 96
image_encoder.trunk.blocks.0.attn.qkv.weight 288x96
image_encoder.trunk.blocks.1.attn.qkv.weight 576x96
image_encoder.trunk.blocks.{1-2}.attn.proj.weight 192x192
image_encoder.trunk.blocks.{1-2}.mlp.layers.0.weight 768x192
image_encoder.trunk.blocks.{1-2}.mlp.layers.1.weight 192x768
image_encoder.trunk.blocks.1.proj.weight 192x96
image_encoder.trunk.blocks.3.proj.weight 384x192
image_encoder.trunk.blocks.10.proj.weight 768x384
image_encoder.trunk.blocks.11.norm1.weight 768
image_encoder.neck.convs.0.conv.weight 256x768x1x1
image_encoder.neck.convs.3.conv.weight 256x96x1x1
mask_downsample.weight 1x1x4x4
memory_attention.layers.{0-3}.self_attn.{q,k,v,out}_proj.weight 256x256
memory_attention.layers.{0-3}.cross_attn_image.{k,v}_proj.weight 256x64
memory_attention.layers.{0-3}.linear1.weight 2048x256
memory_attention.layers.{0-3}.norm{1-3}.weight 256
memory_attention.norm.weight 256
memory_encoder.mask_downsampler.encoder.0.weight 4x1x3x3
memory_encoder.mask_downsampler.encoder.3.weight 16x4x3x3
memory_encoder.mask_downsampler.encoder.6.weight 64x16x3x3
memory_encoder.mask_downsampler.encoder.9.weight 256x64x3x3
memory_encoder.mask_downsampler.encoder.{1,4,7,10}.weight -
memory_encoder.mask_downsampler.encoder.12.weight 256x256x1x1
memory_encoder.pix_feat_proj.weight 256x256x1x1
memory_encoder.fuser.layers.{0-1}.gamma 256
memory_encoder.fuser.layers.{0-1}.dwconv.weight 256x1x7x7
memory_encoder.fuser.layers.{0-1}.pwconv1.weight 1024x256
memory_encoder.fuser.layers.{0-1}.pwconv2.weight 256x1024
memory_encoder.out_proj.weight 64x256x1x1
sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix 2x128
sam_prompt_encoder.point_embeddings.{0-3}.weight 1x256
sam_prompt_encoder.not_a_point_embed.weight 1x256
sam_prompt_encoder.mask_downscaling.0.weight 4x1x2x2
sam_prompt_encoder.mask_downscaling.{1,4}.weight -
sam_prompt_encoder.mask_downscaling.3.weight 16x4x2x2
sam_prompt_encoder.mask_downscaling.6.weight 256x16x1x1
sam_prompt_encoder.no_mask_embed.weight 1x256
sam_mask_decoder.transformer.layers.{0-1}.self_attn.{q,k,v,out}_proj.weight 256x256
sam_mask_decoder.transformer.layers.{0-1}.cross_attn_token_to_image.{q,k,v}_proj.weight 128x256
sam_mask_decoder.transformer.layers.{0-1}.cross_attn_image_to_token.out_proj.weight 256x128
sam_mask_decoder.transformer.layers.{0-1}.mlp.layers.0.weight 2048x256
sam_mask_decoder.transformer.layers.{0-1}.norm{1-4}.weight 256
sam_mask_decoder.transformer.final_attn_token_to_image.out_proj.weight 256x128
sam_mask_decoder.transformer.norm_final_attn.weight 256
sam_mask_decoder.iou_token.weight 1x256
sam_mask_decoder.mask_tokens.weight 4x256
sam_mask_decoder.obj_score_token.weight 1x256
sam_mask_decoder.output_upscaling.0.weight 256x64x2x2
sam_mask_decoder.output_upscaling.1.weight 64
sam_mask_decoder.output_upscaling.3.weight 64x32x2x2
sam_mask_decoder.conv_s0.weight 32x256x1x1
sam_mask_decoder.conv_s1.weight 64x256x1x1
sam_mask_decoder.output_hypernetworks_mlps.{0-3}.layers.{0-1}.weight 256x256
sam_mask_decoder.output_hypernetworks_mlps.{0-3}.layers.2.weight 32x256
sam_mask_decoder.iou_prediction_head.layers.2.weight 4x256
sam_mask_decoder.pred_obj_score_head.layers.2.weight 1x256
obj_ptr_proj.layers.{0-2}.weight 256x256
obj_ptr_tpos_proj.weight 64x256
"""


def expanded(pattern):
    """All names that a pattern stands for."""
    parts = re.split(r"\{(.*?)\}", pattern)
    for index in range(1, len(parts), 2):
        choices = []
        for choice in parts[index].split(","):
            first, _, last = choice.partition("-")
            choices += [str(n) for n in range(int(first), int(last) + 1)] if last else [choice]
        parts[index] = choices
    return ["".join(p) for p in itertools.product(*(p if isinstance(p, list) else [p] for p in parts))]


def on_meta(name):
    with torch.device("meta"):
        return SAM2(config(name))


def nano(**changes):
    torch.manual_seed(0)
    return SAM2(config("nano").at_size(changes.get("size", 64))).eval()


@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
@pytest.mark.parametrize("size", PUBLISHED)
def test_published_sizes_have_the_parameters_of_the_release(version, size):
    network = on_meta(f"{version}-{size}")
    total, encoder, tensors = PUBLISHED[size]
    if version == "sam2":
        total, tensors = total - 16_448 - 64, tensors - 3
    count = {name: tensor.numel() for name, tensor in network.named_parameters()}
    assert sum(count.values()) == total
    assert sum(n for name, n in count.items() if name.startswith("image_encoder.")) == encoder
    assert len(network.state_dict()) == tensors


def test_parts_have_the_tensors_of_the_release():
    network = on_meta("sam2.1-base-plus")
    for part, (tensors, total) in PARTS.items():
        inside = [t.numel() for name, t in network.state_dict().items() if name.startswith(part + ".")]
        assert len(inside) == tensors, part
        assert total is None or sum(inside) == total, part
    loose = {name: tuple(p.shape) for name, p in network.named_parameters() if "." not in name}
    assert loose == LOOSE


def test_tiny_has_the_names_and_shapes_of_the_release():
    state = on_meta("sam2.1-tiny").state_dict()
    for line in NAMES.split("\n")[1:-1]:
        pattern, shape = line.split()
        for name in expanded(pattern):
            assert name in state, name
            if shape != "-":
                assert "x".join(map(str, state[name].shape)) == shape, name


def test_version_2_0_lacks_three_tensors():
    old, new = on_meta("sam2-tiny").state_dict(), on_meta("sam2.1-tiny").state_dict()
    assert set(new) - set(old) == {
        "no_obj_embed_spatial",
        "obj_ptr_tpos_proj.weight",
        "obj_ptr_tpos_proj.bias",
    }
    assert set(old) <= set(new)


def test_nano_is_small():
    assert 3e6 < sum(p.numel() for p in on_meta("nano").parameters()) < 3.5e6


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(ModelError, match="no network is called 'huge'; there are: nano, sam2-tiny"):
        config("huge")
    with pytest.raises(ModelError, match="multiple of 32, at most 4096; got 100"):
        config("nano").at_size(100)


def run(network, images, n=1):
    """All verbs, one after another, for n objects on one frame."""
    torch.manual_seed(1)
    features = network.encode_image(images)
    side = images.shape[-1]
    clicks = PointPrompts(torch.rand(n, 2, 2) * side, torch.tensor([[1, 0]] * n))
    first = network.segment(features, clicks, multimask=True)
    memory = network.encode_memory(features, first.logits_n1hw, first.object_score_n1, binarise=True)
    bank = network.memory_tokens(
        [(memory, network.config.memory_slots - 1), (memory, 0)],
        [(first.pointer_nd, 0.0), (first.pointer_nd, 0.1)],
    )
    tracked = network.segment(features, memory=bank, multimask=True)
    corrected = network.segment(
        features, clicks, bank, tracked.logits_n1hw.clamp(-32, 32), multimask=False, stability_fallback=False
    )
    masks = (torch.rand(n, 1, side, images.shape[-2]) > 0.5).to(images.dtype)
    return first, tracked, corrected, network.segment_mask(features, masks.transpose(2, 3))


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (64, 128)])
@pytest.mark.parametrize("name", ["nano", "sam2.1-tiny"])
def test_any_multiple_of_32_works(name, size):
    network = SAM2(config(name)).eval()
    with torch.inference_mode():
        for prediction in run(network, torch.randn(1, 3, *size), n=2):
            assert prediction.logits_n1hw.shape == (2, 1, size[0] // 4, size[1] // 4)
            assert prediction.pointer_nd.shape == (2, network.config.dim)
            assert prediction.iou_n.shape == (2,)
            assert prediction.object_score_n1.shape == (2, 1)
            assert torch.isfinite(prediction.logits_n1hw).all()


def test_gradients_reach_every_weight():
    network = nano().train()
    network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(8.0)
    total = sum(
        p.logits_n1hw.mean() + p.iou_n.sum() + p.ious_nk.sum() + p.object_score_n1.sum() + p.pointer_nd.sum()
        for p in run(network, torch.randn(1, 3, 64, 64), n=3)
    )
    with torch.no_grad():  # an absent object, for the embeddings that stand for it
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-8.0)
    absent = run(network, torch.randn(1, 3, 64, 64))
    (total + sum(p.pointer_nd.sum() for p in absent) + absent[1].all_logits_nkhw.sum()).backward()
    without = {name for name, p in network.named_parameters() if p.grad is None}
    assert without == {"no_mem_pos_enc"}  # in the published files, never used


def test_constants_made_in_inference_serve_training():
    sine_grid.cache_clear(), rotary_turns.cache_clear()
    network = nano()
    with torch.inference_mode():
        run(network, torch.randn(1, 3, 64, 64))
    run(network, torch.randn(1, 3, 64, 64))[1].all_logits_nkhw.sum().backward()


@pytest.mark.parametrize("name", ["nano", "sam2.1-tiny"])
def test_objects_do_not_depend_on_their_neighbours(name):
    torch.manual_seed(0)
    network = SAM2(config(name).at_size(64)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        together = network.encode_image(images)
        clicks = PointPrompts(torch.rand(3, 1, 2) * 64, torch.ones(3, 1, dtype=torch.long))
        bank = torch.randn(3, 64, 4, 4)
        pointers = torch.randn(3, network.config.dim)
        last_slot = network.config.memory_slots - 1
        memory = network.memory_tokens([(bank, last_slot)], [(pointers, 0.5)])
        all_masks = network.segment(together, clicks, memory, multimask=True)
        for index in range(3):
            one = slice(index, index + 1)
            alone = network.segment(
                together.expand(1),
                PointPrompts(clicks.coords_np2[one], clicks.labels_np[one]),
                network.memory_tokens([(bank[one], last_slot)], [(pointers[one], 0.5)]),
                multimask=True,
            )
            assert torch.allclose(all_masks.all_logits_nkhw[one], alone.all_logits_nkhw, atol=1e-4)


def test_one_frame_per_object_equals_one_frame_for_all():
    network, images = nano(), torch.randn(2, 3, 64, 64)
    clicks = PointPrompts(torch.rand(2, 1, 2) * 64, torch.ones(2, 1, dtype=torch.long))
    with torch.inference_mode():
        features = network.encode_image(images)
        both = network.segment(features, clicks, multimask=True)
        for index in range(2):
            one = slice(index, index + 1)
            frame = Features(features.stride16[one], features.stride8[one], features.stride4[one])
            shared = network.segment(frame, clicks, multimask=True)
            own = network.segment(frame.expand(2), clicks, multimask=True)
            assert torch.allclose(shared.all_logits_nkhw, own.all_logits_nkhw, atol=1e-5)
            assert torch.allclose(shared.all_logits_nkhw[index], both.all_logits_nkhw[index], atol=1e-4)


def test_padded_points_change_nothing_but_the_pads():
    network = nano()
    with torch.inference_mode():
        encoder = network.sam_prompt_encoder
        short = encoder.points(PointPrompts(torch.tensor([[[5.0, 9.0]]]), torch.tensor([[1]])), (64, 64))
        padded = encoder.points(
            PointPrompts(torch.tensor([[[5.0, 9.0], [7.0, 7.0]]]), torch.tensor([[1, -1]])), (64, 64)
        )
    assert torch.equal(short, padded[:, :2])
    assert torch.equal(padded[:, 1], padded[:, 2])


def test_kept_constants_follow_the_weights():
    network = SAM2(config("sam2.1-tiny").at_size(32)).eval()
    images = torch.randn(1, 3, 32, 32)

    def stride16():
        with torch.inference_mode():
            return network.encode_image(images).stride16

    before = stride16()
    with torch.no_grad():
        network.image_encoder.trunk.pos_embed_window.normal_()
    after = stride16()
    assert not torch.allclose(before, after)
    twin = copy.deepcopy(network)
    network.load_state_dict(SAM2(config("sam2.1-tiny")).state_dict())
    assert not torch.allclose(after, stride16())
    with torch.inference_mode():
        assert torch.equal(after, twin.encode_image(images).stride16)


def test_features_know_their_size():
    features = Features(torch.zeros(2, 8, 4, 4), torch.zeros(2, 2, 8, 8), torch.zeros(2, 1, 16, 16))
    assert features.nbytes == 4 * 2 * (128 + 128 + 256)


def test_attention_equals_its_formula():
    torch.manual_seed(0)
    query, key, value = (torch.randn(n, 2, t, 16) for n, t in ((1, 7), (3, 11), (3, 11)))
    assert torch.allclose(
        attention.attend(query, key, value), attention.naive_attend(query, key, value), atol=1e-6
    )


def test_rotation_keeps_lengths_and_depends_on_differences_only():
    turns = rotary_turns(4, 6, 16, 100.0, torch.device("cpu"))
    cos, sin = turns.real, turns.imag
    assert torch.allclose(cos**2 + sin**2, torch.ones(24, 4 * 2))
    # token = y * width + x; the first half of the pairs tells x
    assert torch.equal(cos[1 * 6 + 2, :4], cos[3 * 6 + 2, :4])
    assert torch.equal(cos[1 * 6 + 2, 4:], cos[1 * 6 + 5, 4:])


def test_bfloat16_works_and_agrees_mostly():
    network = nano(size=128)
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        exact = run(network, images)
        quick = run(copy.deepcopy(network).bfloat16(), images.bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            mixed = run(network, images)
    for precise, *others in zip(exact, quick, mixed, strict=True):
        for other in others:
            signs = (precise.all_logits_nkhw > 0) == (other.all_logits_nkhw > 0)
            assert signs.float().mean() > 0.95


@pytest.mark.parametrize("shape", [(37, 53), (64, 64), (200, 90)])
def test_preprocess_equals_pil(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(frame).resize((64, 64))) / 255.0
    expected = (expected - MEAN) / STD
    result = preprocess(frame, 64)
    assert result.dtype == torch.float32
    assert np.allclose(result[0].permute(1, 2, 0), expected, atol=1e-5)
    assert torch.equal(preprocess(torch.from_numpy(np.stack([frame, frame])), 64)[1], result[0])


@pytest.mark.parametrize("shape", [(37, 53), (540, 960), (200, 90), (64, 64), (1, 3)])
def test_the_quick_way_to_preprocess_is_close_to_it(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    whole, levels = preprocess(frame, 64), 255 * torch.tensor(STD)[:, None, None]
    constant = np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape)
    for image in (frame, constant, frame[::-1].copy()[::-1]):
        differences = (preprocess(image, 64, exact=False) - whole).abs() * levels
        assert differences.max() < 5.01  # of the tall one; else 2
        assert differences.mean() < 0.25
        assert preprocess(image, 64, exact=False).stride() == whole.stride()


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
def test_frames_of_one_row_or_column_may_be_turned_round(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for turned in (frame[::-1], frame[:, ::-1], frame[::-1, ::-1]):
        assert torch.equal(preprocess(turned, 64, exact=False), preprocess(turned.copy(), 64, exact=False))


def test_importing_sizes_loads_no_torch():
    import subprocess
    import sys

    code = "import sys; from sam2_core.models import config, registry; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_knows_its_name(name):
    assert config(name).name == name

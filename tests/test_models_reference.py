"""Our network against transformers, with the same random weights."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_core.bench.films import textured_frame
from sam2_core.bench.random_networks import random_network
from sam2_core.bench.theirs import same_network
from sam2_core.models.config import CONFIGS
from sam2_core.models.mask_decoder import Decoded
from sam2_core.models.preprocess import preprocess
from sam2_core.models.sam2 import SAM2, Features, PointPrompts, Prediction
from tests.skips import shared_data

torch.set_num_threads(1)  # on a busy machine two spinning threads are slower than one
TOLERANCE = 2e-5  # differences seen: 5e-7, at logits of about 0.2


@dataclass
class Pair:
    ours: SAM2
    theirs: Sam2VideoModel

    @property
    def size(self) -> int:
        return self.ours.config.image_size


@pytest.fixture(scope="module", params=["sam2-tiny", "sam2.1-tiny"])
def pair(request):
    ours = random_network(CONFIGS[request.param].at_size(256))
    with torch.inference_mode():
        yield Pair(ours, same_network(ours))


@pytest.fixture(scope="module")
def features(pair):
    return pair.ours.encode_image(preprocess(textured_frame(), pair.size))


def points(*triples):
    coords, labels = zip(*(((x, y), label) for x, y, label in triples), strict=True)
    return PointPrompts(torch.tensor(coords)[None], torch.tensor(labels)[None])


def difference(ours: Tensor, theirs: Tensor) -> float:
    assert ours.std() > 0.01, "a constant proves nothing"
    return (ours.flatten() - theirs.flatten()).abs().max().item()


def their_answer(pair: Pair, features: Features, image: Tensor, prompts, logits, multimask: bool):
    return pair.theirs._single_frame_forward(
        input_points=None if prompts is None else prompts.coords_np2[None],
        input_labels=None if prompts is None else prompts.labels_np[None].int(),
        input_masks=logits,
        image_embeddings=[features.stride4, features.stride8, image],
        multimask_output=multimask,
    )


def assert_equal(ours: Prediction, theirs) -> None:
    assert difference(ours.logits_n1hw, theirs.pred_masks) <= TOLERANCE
    assert difference(ours.pointer_nd, theirs.object_pointer) <= TOLERANCE
    assert torch.allclose(
        ours.object_score_n1.flatten(), theirs.object_score_logits.flatten(), atol=TOLERANCE
    )
    best = theirs.iou_scores.max().item()
    assert ours.iou_n.item() == pytest.approx(best, abs=TOLERANCE)


def their_features(pair: Pair, images: Tensor) -> list[Tensor]:
    maps = pair.theirs.get_image_features(images).fpn_hidden_states
    sides = [pair.size // 4, pair.size // 8, pair.size // 16]
    return [m.permute(1, 2, 0).unflatten(-1, (side, side)) for m, side in zip(maps, sides, strict=True)]


def test_image_features_are_equal(pair, features):
    ours = (features.stride4, features.stride8, features.stride16)
    for mine, their in zip(ours, their_features(pair, preprocess(textured_frame(), pair.size)), strict=True):
        assert difference(mine, their) <= TOLERANCE


def test_image_features_of_a_real_frame_are_equal(pair):
    import av

    with av.open(str(shared_data("bedroom.mp4"))) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    images = preprocess(frame, pair.size)
    ours = pair.ours.encode_image(images)
    for mine, their in zip(
        (ours.stride4, ours.stride8, ours.stride16), their_features(pair, images), strict=True
    ):
        assert difference(mine, their) <= TOLERANCE


@pytest.mark.parametrize(
    ("prompts", "multimask"),
    [
        (points((100.0, 80.0, 1)), True),
        (points((100.0, 80.0, 1)), False),
        (points((100.0, 80.0, 1), (30.0, 200.0, 0)), False),
        (points((40.0, 30.0, 2), (180.5, 220.25, 3)), False),
        (points((40.0, 30.0, 2), (180.5, 220.25, 3), (100.0, 120.0, 1), (60.0, 60.0, 0)), False),
        (None, True),
    ],
    ids=["click", "click, single mask", "two clicks", "box", "box and clicks", "nothing"],
)
def test_masks_of_points_and_boxes_are_equal(pair, features, prompts, multimask):
    image = features.stride16 + pair.ours.no_mem_embed.reshape(1, -1, 1, 1)
    ours = pair.ours.segment(features, prompts, multimask=multimask)
    assert_equal(ours, their_answer(pair, features, image, prompts, None, multimask))


def test_a_second_click_with_the_previous_logits_is_equal(pair, features):
    image = features.stride16 + pair.ours.no_mem_embed.reshape(1, -1, 1, 1)
    first = pair.ours.segment(features, points((100.0, 80.0, 1)), multimask=True)
    previous = first.logits_n1hw.clamp(-32, 32)
    clicks = points((100.0, 80.0, 1), (150.0, 90.0, 0))
    ours = pair.ours.segment(features, clicks, previous_logits_n1hw=previous, multimask=False)
    assert_equal(ours, their_answer(pair, features, image, clicks, previous, False))


def given_mask(size: int) -> Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[:, :, 50:177, 33:140] = 1
    return mask


def test_a_mask_prompt_is_equal(pair, features):
    mask = given_mask(pair.size)
    ours = pair.ours.segment_mask(features, mask)
    theirs = pair.theirs._use_mask_as_output(features.stride16, [features.stride4, features.stride8], mask)
    assert difference(ours.logits_n1hw, theirs.pred_masks) <= TOLERANCE
    assert ours.object_score_n1.item() == theirs.object_score_logits.item() == 10
    # Meta takes the pointer from the single mask, transformers from the best of three.
    dense = pair.theirs.mask_downsample(mask)
    single = their_answer(pair, features, features.stride16, None, dense, False)
    assert difference(ours.pointer_nd, single.object_pointer) <= TOLERANCE


def test_an_empty_mask_prompt_is_an_absent_object(pair, features):
    ours = pair.ours.segment_mask(features, torch.zeros(1, 1, pair.size, pair.size))
    assert ours.object_score_n1.item() == -10
    assert torch.equal(ours.pointer_nd, pair.ours.no_obj_ptr)


def test_an_absent_object_has_no_mask_and_the_same_pointer(pair, features):
    bias = pair.ours.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    their_bias = pair.theirs.mask_decoder.pred_obj_score_head.proj_out.bias
    bias.fill_(-8.0), their_bias.fill_(-8.0)
    try:
        image = features.stride16 + pair.ours.no_mem_embed.reshape(1, -1, 1, 1)
        click = points((100.0, 80.0, 1))
        ours = pair.ours.segment(features, click, multimask=True)
        theirs = their_answer(pair, features, image, click, None, True)
    finally:
        bias.fill_(8.0), their_bias.fill_(8.0)
    assert (ours.logits_n1hw == -1024).all()
    assert (theirs.pred_masks == -1024).all()
    assert torch.equal(ours.pointer_nd.flatten(), theirs.object_pointer.flatten())
    assert ours.all_logits_nkhw.abs().max() < 1000, "the decoder's own logits are kept"


@pytest.mark.parametrize("binarise", [True, False])
@pytest.mark.parametrize("score", [8.0, -8.0])
def test_memories_are_equal(pair, features, binarise, score):
    logits = pair.ours.segment(features, points((100.0, 80.0, 1)), multimask=True).logits_n1hw
    scores = torch.full((1, 1), score)
    ours = pair.ours.encode_memory(features, logits, scores, binarise=binarise)
    full = torch.nn.functional.interpolate(logits, (pair.size, pair.size), mode="bilinear")
    sequence = features.stride16.flatten(2).permute(2, 0, 1)
    theirs, _ = pair.theirs._encode_new_memory(sequence, full, scores, binarise)
    # They keep it in bfloat16.
    mine = ours.to(torch.bfloat16).float().flatten(2).permute(2, 0, 1)
    assert torch.allclose(mine, theirs.float(), rtol=2**-7, atol=TOLERANCE)
    assert (mine - theirs.float()).abs().mean() < 1e-5


def random_bank(pair: Pair, count: int) -> tuple[list[tuple[Tensor, int]], list[tuple[Tensor, float]]]:
    """A prompted frame and tracked ones, oldest first, and pointers with their ages."""
    torch.manual_seed(count)
    side, dim = pair.size // 16, pair.ours.config.memory_dim
    slots = [6, *reversed(range(min(count - 1, 6)))]
    spatial = [(torch.randn(1, dim, side, side), slot) for slot in slots]
    pointers = [(torch.randn(1, pair.ours.config.dim), index / 15) for index in range(count)]
    return spatial, pointers


def their_memory(pair: Pair, features: Features, spatial, pointers) -> Tensor:
    place = pair.theirs.memory_encoder.position_encoding
    outputs = []
    for memory, slot in spatial:
        grid = place(memory.shape, memory.device, memory.dtype)
        sequence = {"maskmem_features": memory, "maskmem_pos_enc": grid}
        flat = {name: value.flatten(2).permute(2, 0, 1) for name, value in sequence.items()}
        outputs.append(((slot + 1) % 7, flat))
    tokens, positions = pair.theirs._build_memory_attention_inputs(outputs, torch.device("cpu"))
    offsets = [round(age * 15) for _, age in pointers]
    stacked, ages = pair.theirs._process_object_pointers(
        offsets, [pointer for pointer, _ in pointers], 16, 1, pair.ours.config.dim, torch.device("cpu")
    )
    image = features.stride16
    grid = pair.theirs.vision_encoder.neck.position_encoding(image.shape, image.device, image.dtype)
    conditioned = pair.theirs.memory_attention(
        current_vision_features=image.flatten(2).permute(2, 0, 1),
        current_vision_position_embeddings=grid.flatten(2).permute(2, 0, 1),
        memory=torch.cat([*tokens, stacked]),
        memory_posision_embeddings=torch.cat([*positions, ages]),
        num_object_pointer_tokens=len(stacked),
    )
    return conditioned.squeeze(1).transpose(1, 2).reshape(image.shape)


@pytest.mark.parametrize("count", [1, 3, 16], ids=["one memory", "three memories", "a full bank"])
def test_memory_attention_and_tracked_masks_are_equal(pair, features, count):
    spatial, pointers = random_bank(pair, count)
    memory = pair.ours.memory_tokens(spatial, pointers)
    image = their_memory(pair, features, spatial, pointers)
    assert difference(pair.ours.memory_attention(features.stride16, memory), image) <= TOLERANCE
    tracked = pair.ours.segment(features, memory=memory, multimask=True)
    assert_equal(tracked, their_answer(pair, features, image, None, None, True))
    clicks = points((100.0, 80.0, 1), (150.0, 90.0, 0))
    corrected = pair.ours.segment(features, clicks, memory, multimask=False)
    assert_equal(corrected, their_answer(pair, features, image, clicks, None, False))


class Answering(torch.nn.Module):
    """In the place of a mask decoder: it gives what it was made with."""

    def __init__(self, answer: Decoded):
        super().__init__()
        self.answer = answer

    def forward(self, *given: object) -> Decoded:
        return self.answer


def test_the_fallback_of_unstable_masks_is_equal(pair, features, monkeypatch):
    torch.manual_seed(0)
    logits = torch.randn(40, 4, 16, 16) * torch.logspace(-1, 2, 40)[:, None, None, None]
    ious = torch.rand(40, 4)
    tokens = torch.randn(40, 4, pair.ours.config.dim)
    answering = Answering(Decoded(logits, ious, tokens, torch.ones(40, 1)))
    monkeypatch.setattr(pair.ours, "sam_mask_decoder", answering)
    found = pair.ours.segment(features, multimask=False, stability_fallback=True)
    masks, scores = pair.theirs.mask_decoder._dynamic_multimask_via_stability(logits[:, None], ious[:, None])
    single = (found.logits_n1hw == logits[:, :1]).flatten(1).all(dim=1)
    assert 5 < single.sum() < 35, "both branches are seen"
    assert torch.equal(found.logits_n1hw, masks[:, 0])
    assert torch.equal(found.iou_n, scores[:, 0, 0])
    assert torch.equal(found.pointer_nd, pair.ours.obj_ptr_proj(tokens[:, 0])), "of the single mask"


@pytest.mark.parametrize("name", ["sam2.1-small", "sam2.1-base-plus", "sam2.1-large"])
def test_other_sizes_have_equal_features(name):
    ours = random_network(CONFIGS[name].at_size(128))
    images = preprocess(textured_frame(3), 128)
    with torch.inference_mode():
        both = Pair(ours, same_network(ours))
        assert difference(ours.encode_image(images).stride16, their_features(both, images)[2]) <= TOLERANCE

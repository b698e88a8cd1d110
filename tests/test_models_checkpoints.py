"""Networks from files, and files that are not what they should be."""

import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from sam2_core.bench.theirs import hub_config, to_hub_names
from sam2_core.errors import ModelError
from sam2_core.models import checkpoints
from sam2_core.models.config import CONFIGS, config
from sam2_core.models.hub_names import from_hub_names
from sam2_core.models.sam2 import SAM2

torch.set_num_threads(1)


def on_meta(name):
    with torch.device("meta"):
        return SAM2(config(name))


@pytest.fixture(scope="module")
def tiny():
    """The state of a sam2.1-tiny, random; in bfloat16, to write less."""
    torch.manual_seed(0)
    return SAM2(config("sam2.1-tiny")).bfloat16().state_dict()


@pytest.fixture(scope="module")
def nano():
    torch.manual_seed(0)
    return checkpoints.build(config("nano")).eval()


def assert_same(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name].float()) for name in expected)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_metas_layout_is_read(tmp_path, tiny, suffix, wrapped):
    path = tmp_path / f"any name{suffix}"
    torch.save({"model": tiny, "epoch": 3} if wrapped else tiny, path)
    found, state = checkpoints.load_state(path)
    assert found == config("sam2.1-tiny")
    assert_same(state, tiny)


def test_metas_names_in_safetensors_are_read(tmp_path, tiny):
    save_file(tiny, tmp_path / "model.safetensors")
    found, state = checkpoints.load_state(tmp_path / "model.safetensors")
    assert found.name == "sam2.1-tiny"
    assert_same(state, tiny)


def test_the_hubs_layout_is_read(tmp_path, tiny):
    hub = {name: tensor.clone() for name, tensor in to_hub_names(tiny).items()}
    save_file(hub, tmp_path / "model.safetensors", {"format": "pt"})
    found, state = checkpoints.load_state(tmp_path / "model.safetensors")
    assert found.name == "sam2.1-tiny"
    assert_same(state, tiny)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "nano"])
def test_every_published_model_is_recognised_in_both_layouts(tmp_path, name):
    state = on_meta(name).state_dict()
    hub = to_hub_names(state)
    for layout in (state, hub):
        zeros = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in layout.items()}  # a small file
        torch.save(zeros, tmp_path / "any name.pt")
        found, read = checkpoints.load_state(tmp_path / "any name.pt")
        assert found.name == name
        assert read.keys() == state.keys()
    back = from_hub_names(hub, state)
    assert {key: tensor.shape for key, tensor in back.items()} == {k: t.shape for k, t in state.items()}


def test_hub_names_are_those_of_transformers():
    from transformers import Sam2VideoModel

    for name in ("sam2-small", "sam2.1-base-plus"):
        with torch.device("meta"):
            theirs = Sam2VideoModel(hub_config(config(name))).state_dict()
        ours = to_hub_names(on_meta(name).state_dict())
        assert {k: t.shape for k, t in ours.items()} == {k: t.shape for k, t in theirs.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nano_is_written_and_read_back(tmp_path, nano, dtype):
    path = tmp_path / "nano.safetensors"
    checkpoints.save(nano, path, dtype, trained="not at all")
    (path.parent / "other").touch()
    assert path.stat().st_mode == (path.parent / "other").stat().st_mode  # not for its owner alone
    network = checkpoints.load(path)
    assert network.config == config("nano")
    assert not network.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
    expected = {name: tensor.to(dtype) for name, tensor in nano.state_dict().items()}
    assert_same(network.state_dict(), expected)
    if dtype == torch.float32:
        images = torch.randn(1, 3, 64, 64)
        assert torch.equal(network.encode_image(images).stride16, nano.encode_image(images).stride16)


def test_nano_keeps_its_image_size(tmp_path):
    checkpoints.save(SAM2(config("nano").at_size(384)), tmp_path / "nano.safetensors")
    assert checkpoints.load(tmp_path / "nano.safetensors").config.image_size == 384


def broken(tiny, **changes):
    return {name: tensor for name, tensor in (tiny | changes).items() if tensor is not None}


def message_of(path):
    with pytest.raises(ModelError) as caught:
        checkpoints.load_state(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_wrong_shape_is_named(tmp_path, tiny):
    torch.save(broken(tiny, no_obj_ptr=torch.zeros(1, 7)), tmp_path / "a.pt")
    message = message_of(tmp_path / "a.pt")
    assert "looks like sam2.1-tiny, but 'no_obj_ptr' has the shape (1, 7); expected (1, 256)" in message


def test_a_wrong_type_is_named(tmp_path, tiny):
    torch.save(broken(tiny, no_obj_ptr=torch.zeros(1, 256, dtype=torch.int64)), tmp_path / "a.pt")
    said = "'no_obj_ptr' holds torch.{}; expected float32, float16 or bfloat16"
    assert said.format("int64") in message_of(tmp_path / "a.pt")
    torch.save(broken(tiny, no_obj_ptr=torch.zeros(1, 256).to(torch.float8_e4m3fn)), tmp_path / "b.pt")
    assert said.format("float8_e4m3fn") in message_of(tmp_path / "b.pt")


def test_missing_tensors_are_named(tmp_path, tiny):
    torch.save(broken(tiny, no_obj_ptr=None, no_mem_embed=None), tmp_path / "a.pt")
    assert "2 of its tensors are missing: 'no_mem_embed', 'no_obj_ptr'" in message_of(tmp_path / "a.pt")


def test_foreign_tensors_are_named(tmp_path, tiny):
    torch.save(broken(tiny, **{f"head.{i}": torch.zeros(1) for i in range(5)}), tmp_path / "a.pt")
    message = message_of(tmp_path / "a.pt")
    assert "5 tensors that do not belong there: 'head.0', 'head.1', 'head.2', ..." in message


def test_a_foreign_tensor_in_the_hubs_layout_is_named(tmp_path, tiny):
    hub = {name: tensor.clone() for name, tensor in to_hub_names(tiny).items()}
    save_file(hub | {"lora.a": torch.zeros(2)}, tmp_path / "a.safetensors")
    assert "1 tensors that do not belong there: 'lora.a'" in message_of(tmp_path / "a.safetensors")


def test_another_network_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "resnet.pth")
    message = message_of(tmp_path / "resnet.pth")
    assert "no SAM 2 that is known (1 tensors: 'conv1.weight'); there are: nano, sam2-tiny" in message


@pytest.mark.parametrize("content", [{}, {"model": {}}])
def test_nothing_at_all_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    assert "no SAM 2 that is known (0 tensors)" in message_of(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [[1, 2], "text", {"model": 3}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    assert "holds no state dict" in message_of(tmp_path / "a.pt")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil_was_here",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_never_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert "holds code, not only tensors; nothing of it was run" in message_of(tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Evil()))
    message_of(tmp_path / "b.pt")
    assert not (tmp_path / "evil_was_here").exists()


def test_cut_off_and_foreign_files_are_refused(tmp_path, nano):
    checkpoints.save(nano, tmp_path / "whole.safetensors")
    torch.save(nano.state_dict(), tmp_path / "whole.pt")
    for suffix in (".pt", ".safetensors"):
        whole = (tmp_path / f"whole{suffix}").read_bytes()
        for index, content in enumerate(
            (whole[: len(whole) // 2], whole[:100], whole[:3], b"", b"hello, world")
        ):
            path = tmp_path / f"{index}{suffix}"
            path.write_bytes(content)
            message_of(path)


def test_a_missing_file_is_refused(tmp_path):
    assert "there is no model file called" in message_of(tmp_path / "a.pt")
    folder = tmp_path / "folder.pt"
    folder.mkdir()
    message_of(folder)


def test_a_senseless_note_is_refused(tmp_path, nano):
    state = {name: tensor.contiguous() for name, tensor in nano.state_dict().items()}
    for size, shown in (("big", "big"), ("9" * 5000, "9" * 20), ("٣٢", "٣٢")):
        save_file(state, tmp_path / "a.safetensors", {"image_size": size})
        said = f"image_size is {shown!r}; expected a whole number"
        assert said in message_of(tmp_path / "a.safetensors")


def test_an_image_size_that_no_memory_holds_is_refused(tmp_path, nano):
    checkpoints.save(nano, tmp_path / "b.safetensors")
    save_file(load_file(tmp_path / "b.safetensors"), tmp_path / "a.safetensors", {"image_size": "100000"})
    with pytest.raises(ModelError, match="at most 4096; got 100000"):
        checkpoints.load_state(tmp_path / "a.safetensors")


def test_numbers_that_are_not_finite_are_named(tmp_path, nano):
    checkpoints.save(nano, tmp_path / "a.safetensors")
    state = load_file(tmp_path / "a.safetensors")
    state["no_obj_ptr"] *= float("nan")
    save_file(state, tmp_path / "a.safetensors")
    assert "'no_obj_ptr' holds no numbers, or infinite ones" in message_of(tmp_path / "a.safetensors")

"""Folders of open_clip that are not what the mapping knows."""

import json

import pytest
import torch
from helpers import families, tiny_open_clip
from safetensors.torch import load_file, save_file

from fs_models.encoders import LoadRequest, load_encoder
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, ShortestEdge

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


@pytest.fixture
def folder(tmp_path):
    tiny_open_clip.write(tmp_path, families.SIDE, families.PATCH, families.livened)
    return tmp_path


def edit(folder, part, **changes):
    content = json.loads((folder / CONFIG).read_text())
    (content["model_cfg"]["vision_cfg"] if part == "vision_cfg" else content[part]).update(changes)
    (folder / CONFIG).write_text(json.dumps(content))


def refusal(folder, **arguments):
    with pytest.raises(InputError) as caught:
        load_encoder(LoadRequest(str(folder), **arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"pool_type": "avg"},
        {"attentional_pool": True},
        {"global_average_pool": True},
        {"timm_model_name": "vit_base_patch16_siglip_224"},
        {"layers": [3, 4, 6, 3]},
        {"image_size": None},
    ],
)
def test_load_refuses_a_tower_that_is_no_plain_vit(folder, changes):
    edit(folder, "vision_cfg", **changes)
    assert next(iter(changes)) in refusal(folder)


def test_load_refuses_a_vision_setting_that_it_does_not_know(folder):
    edit(folder, "vision_cfg", rotary_embedding=True)
    message = refusal(folder)
    assert "rotary_embedding" in message
    assert "remove" in message


def test_load_gives_the_same_network_when_inert_settings_are_written_out(folder):
    pixels = torch.rand(1, 3, families.SIDE, families.SIDE, generator=torch.Generator().manual_seed(0))
    expected = load_encoder(LoadRequest(str(folder)))(pixels)
    edit(folder, "vision_cfg", patch_dropout=0.5, mlp_ratio=4.0, global_average_pool=False, pool_type="tok")
    assert torch.equal(load_encoder(LoadRequest(str(folder)))(pixels), expected)


def test_load_uses_the_activation_that_the_config_names(folder):
    pixels = torch.rand(1, 3, families.SIDE, families.SIDE, generator=torch.Generator().manual_seed(0))
    quick = load_encoder(LoadRequest(str(folder)))
    edit(folder, "model_cfg", quick_gelu=False)
    exact = load_encoder(LoadRequest(str(folder)))
    expected = tiny_open_clip.expected(folder, exact.normalise(pixels))["pooled"]
    torch.testing.assert_close(exact(pixels), expected, atol=3e-6, rtol=1e-4)
    assert (exact(pixels) - quick(pixels)).abs().max() > 1e-3


def test_load_follows_the_resize_mode_when_it_is_squash(folder):
    side = families.SIDE
    rule = load_encoder(LoadRequest(str(folder))).spec.preprocess
    assert (rule.resize, rule.crop) == (ShortestEdge(side, "bicubic"), CenterCrop(side, side))
    edit(folder, "preprocess_cfg", resize_mode="squash", interpolation="bilinear")
    rule = load_encoder(LoadRequest(str(folder))).spec.preprocess
    assert (rule.resize, rule.crop) == (Exact(side, side, "bilinear"), None)
    edit(folder, "preprocess_cfg", resize_mode="longest")
    assert "'longest'" in refusal(folder)


def test_load_refuses_incomplete_weights(folder):
    weights = load_file(folder / WEIGHTS)
    del weights["visual.transformer.resblocks.1.ln_2.bias"]
    save_file(weights, folder / WEIGHTS)
    assert "lacks the weights" in refusal(folder)


def test_load_refuses_pickled_weights_unless_they_are_trusted(folder):
    weights = load_file(folder / WEIGHTS)
    torch.save({"state_dict": weights}, folder / "open_clip_pytorch_model.bin")
    expected = load_encoder(LoadRequest(str(folder)))
    (folder / WEIGHTS).unlink()
    assert "--trust-pickle" in refusal(folder)
    trusted = load_encoder(LoadRequest(str(folder), trust_pickle=True))
    pixels = torch.rand(1, 3, families.SIDE, families.SIDE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trusted(pixels), expected(pixels))
    (folder / "open_clip_pytorch_model.bin").unlink()
    assert WEIGHTS in refusal(folder)


def test_load_refuses_a_damaged_config(folder):
    (folder / CONFIG).write_text("{}")
    assert "has no model_cfg" in refusal(folder)

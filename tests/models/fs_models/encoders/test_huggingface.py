"""Tiny random transformers folders, loaded as a user's own would be."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from helpers import tiny_huggingface
from helpers.tiny_huggingface import SIDE

from fs_models.encoders import LoadRequest, load_encoder
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, ShortestEdge


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    kinds = ("vit", "vit-classifier", "clip-vision", "clip", "dinov2", "bert")
    return {kind: tiny_huggingface.save(kind, root / kind) for kind in kinds}


@pytest.fixture
def vit(folders, tmp_path):
    return Path(shutil.copytree(folders["vit"], tmp_path / "vit"))


def pixels():
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "tap", "shape"),
    [
        ("vit", "pooled", (32,)),
        ("vit", "cls", (32,)),
        ("vit", "tokens", (17, 32)),
        ("vit-classifier", "cls", (32,)),
        ("clip-vision", "pooled", (16,)),
        ("clip-vision", "tokens", (17, 32)),
        ("clip", "pooled", (16,)),
        ("dinov2", "pooled", (32,)),
        ("dinov2", "cls", (32,)),
        ("dinov2", "tokens", (17, 32)),
    ],
)
def test_encode_equals_transformers_when_loaded_from_a_folder(folders, kind, tap, shape):
    encoder = load_encoder(LoadRequest(str(folders[kind]), tap))
    assert encoder.spec.feature_shape == shape
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (encoder.spec.mean, encoder.spec.std))
    normalised = (pixels() - mean) / std
    if kind == "clip":
        expected = transformers.AutoModel.from_pretrained(folders[kind]).get_image_features(normalised).pooler_output
    elif kind == "clip-vision":
        output = transformers.CLIPVisionModelWithProjection.from_pretrained(folders[kind])(normalised)
        expected = output.image_embeds if tap == "pooled" else output.last_hidden_state
    else:
        output = transformers.AutoModel.from_pretrained(folders[kind])(normalised)
        hidden = output.last_hidden_state
        expected = {"pooled": output.pooler_output, "cls": hidden[:, 0], "tokens": hidden}[tap]
    torch.testing.assert_close(encoder(pixels()), expected, atol=2e-6, rtol=1e-5)


def test_load_takes_preprocessing_from_the_folder_when_it_is_there(folders):
    spec = load_encoder(LoadRequest(str(folders["dinov2"]))).spec
    assert (spec.height, spec.width) == (SIDE, SIDE)
    assert spec.preprocess.resize == ShortestEdge(edge=SIDE, kernel="bicubic")
    assert spec.preprocess.crop == CenterCrop(height=SIDE, width=SIDE)
    assert spec.mean == (0.48, 0.46, 0.41)
    assert sorted(path.name for path in spec.config_files) == ["config.json", "preprocessor_config.json"]


def refusal(model, **arguments):
    with pytest.raises(InputError) as caught:
        load_encoder(LoadRequest(str(model), **arguments))
    message = str(caught.value)
    assert str(model) in message
    assert "\n" not in message
    return message


def test_load_refuses_a_text_model(folders):
    assert "not an image encoder" in refusal(folders["bert"])


def test_load_refuses_a_random_pooler_when_the_checkpoint_has_none(folders):
    assert "--tap cls" in refusal(folders["vit-classifier"])


def test_load_refuses_random_weights_when_the_checkpoint_lacks_some(vit):
    from safetensors.torch import load_file, save_file

    weights = load_file(vit / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, vit / "model.safetensors", {"format": "pt"})
    assert "layernorm.weight" in refusal(vit)


def test_load_refuses_a_folder_without_preprocessing(vit):
    (vit / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in refusal(vit)


def test_load_refuses_an_empty_folder(tmp_path):
    assert "config.json" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "never-heard-of"}', "\xff"])
def test_load_refuses_a_broken_config(vit, content):
    (vit / "config.json").write_text(content, encoding="latin-1")
    refusal(vit)


def test_load_refuses_images_of_another_size_than_the_model_takes(vit):
    content = {**tiny_huggingface.PREPROCESS, "crop_size": 40}
    (vit / "preprocessor_config.json").write_text(json.dumps(content))
    assert "40 x 40" in refusal(vit)


def test_load_refuses_truncated_weights(vit):
    os.truncate(vit / "model.safetensors", 3000)
    refusal(vit)


def test_load_refuses_pickle_unless_it_is_trusted(vit):
    from safetensors.torch import load_file

    torch.save(load_file(vit / "model.safetensors"), vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    assert "safetensors" in refusal(vit)
    trusted = load_encoder(LoadRequest(str(vit), trust_pickle=True))
    assert trusted.spec.feature_shape == (32,)


def test_load_runs_remote_code_only_when_it_is_trusted(vit):
    content = json.loads((vit / "config.json").read_text())
    content["auto_map"] = {"AutoConfig": "mine.MyConfig", "AutoModel": "mine.MyModel"}
    (vit / "config.json").write_text(json.dumps(content))
    (vit / "mine.py").write_text("raise SystemExit('remote code ran')")
    assert "--trust-remote-code" in refusal(vit)


def test_load_names_the_model_when_the_hub_is_offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refusal("nobody/has-this-model")

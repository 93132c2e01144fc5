"""timm needs torchvision, which is not built for CPU: its settings and refusals are tested, and a stand-in for it."""

import importlib.util
import json
import sys
import types

import pytest
import torch
from torch import nn

from fs_models.encoders import LoadRequest, find_family, load_encoder
from fs_models.encoders.timm import read_timm
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, ShortestEdge

SETTINGS = {
    "tag": "a1_in1k",
    "input_size": [3, 32, 32],
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.3, 0.25],
}


def test_read_timm_gives_the_rule_when_the_settings_are_common():
    read = read_timm(SETTINGS, "model")
    assert (read.rule.resize, read.rule.crop) == (ShortestEdge(35, "bicubic"), CenterCrop(32, 32))
    assert (read.mean, read.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    assert read_timm({**SETTINGS, "crop_mode": "squash"}, "model").rule.resize == Exact(35, 35, "bicubic")


@pytest.mark.parametrize("change", [{"crop_mode": "border"}, {"interpolation": "hermite"}, {"mean": None}])
def test_read_timm_refuses_what_the_runtime_cannot_do(change):
    with pytest.raises(InputError, match="the model"):
        read_timm({**SETTINGS, **change}, "the model")


def test_find_family_knows_timms_own_config_when_it_has_no_type(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet50", "pretrained_cfg": SETTINGS}))
    assert find_family(LoadRequest(str(tmp_path))).family == "timm-wrapper"
    if importlib.util.find_spec("timm") is None:
        with pytest.raises(InputError, match="timm"):
            load_encoder(LoadRequest(str(tmp_path)))


def test_load_says_so_when_timm_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="needs timm, which cannot be imported here"):
        load_encoder(LoadRequest("timm:resnet50"))


def test_load_takes_the_model_that_timm_makes_when_it_is_there(monkeypatch):
    def create_model(name, *, pretrained, num_classes):
        assert (name, pretrained, num_classes) == ("resnet50.a1_in1k", True, 0)
        network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network.pretrained_cfg = SETTINGS
        return network

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    encoder = load_encoder(LoadRequest("timm:resnet50.a1_in1k"))
    assert (encoder.spec.feature_shape, encoder.spec.revision) == ((4,), "a1_in1k")
    assert encoder(torch.rand(2, 3, 32, 32)).shape == (2, 4)
    with pytest.raises(InputError, match="name the tag"):
        load_encoder(LoadRequest("timm:resnet50.a1_in1k", revision="other"))

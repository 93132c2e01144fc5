"""The systems that are compared: what each consists of, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from helpers import tiny_torch
from helpers.known_torch import Blur, Phase
from torch import nn

from fs_exporters.evaluation.systems import Systems, systems_of
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import Booster
from fs_runtime.errors import InputError

SIGMA = 0.25


def test_features_refuse_when_they_are_not_finite() -> None:
    system = systems_of(Phase(), {}, sigmas=(SIGMA,), device="cpu", batch=4).at(SIGMA)[1]
    with pytest.raises(InputError, match="FS gives features that are not finite"):
        system.features(torch.full((1, 3, 4, 4), math.nan))


def test_systems_of_folds_batch_norms_and_leaves_the_encoder_alone_when_it_has_some() -> None:
    encoder = tiny_torch.tiny_adapter()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    bare = systems_of(encoder, {}, sigmas=(SIGMA,), device="cpu", batch=4).encoder
    assert not any(isinstance(module, nn.BatchNorm2d) for module in bare.graph.modules())
    pixels = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = nn.functional.normalize(encoder(pixels).double(), dim=1).numpy()
    assert np.allclose(bare.features(pixels), expected, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert isinstance(encoder.norm, nn.BatchNorm2d)


def test_systems_of_says_what_became_of_batch_norms_when_they_are_folded_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(encoder: EncoderAdapter) -> Systems:
        return systems_of(encoder, {}, sigmas=(), device="cpu", batch=4)

    assert made(Phase()).batch_norms == "none"
    assert made(tiny_torch.tiny_adapter()).batch_norms == "folded"
    both = tiny_torch.tiny_adapter()
    both.register_module("unused", nn.BatchNorm2d(3))
    assert made(both).batch_norms == "1 of 2 folded"
    monkeypatch.setattr("fs_models.encoders.frozen._TOLERANCE", -1.0)
    assert made(tiny_torch.tiny_adapter()).batch_norms == "as they are"


def test_systems_of_refuses_when_the_device_is_not_here() -> None:
    with pytest.raises(InputError, match="--device nowhere cannot be used here"):
        systems_of(Phase(), {}, sigmas=(SIGMA,), device="nowhere", batch=4)


def test_systems_of_leaves_the_booster_out_when_a_sigma_has_none() -> None:
    booster = Booster(Blur(), torch.nn.Identity())
    systems = systems_of(Phase(), {0.1: booster}, sigmas=(0.1, 0.25), device="cpu", batch=4)
    assert [[system.name for system in systems.at(sigma)] for sigma in (0.1, 0.25)] == [
        ["encoder", "fs", "fs+gsb"],
        ["encoder", "fs"],
    ]
    assert [system.sigma for system in systems.at(0.1)] == [0.0, 0.1, 0.1]


def test_drawn_has_the_draws_of_sigma_when_batches_are_small() -> None:
    """The phase's own angle has the standard deviation sigma |a|."""
    system = systems_of(Phase(speed=0.5), {}, sigmas=(SIGMA,), device="cpu", batch=7).at(SIGMA)[1]
    pixels = torch.full((1, 3, 4, 4), 0.5)
    rows = system.drawn(pixels, 500, torch.Generator().manual_seed(1))
    assert rows.shape == (500, 2)
    middle = float(system.graph.encoder.get_buffer("weights").sum()) * 0.5
    angles = np.angle(np.exp(1j * (np.arctan2(rows[:, 1], rows[:, 0]) - middle)))
    assert angles.mean() == pytest.approx(0.0, abs=4.0 * SIGMA * 0.5 / math.sqrt(500))
    assert angles.std() == pytest.approx(SIGMA * 0.5, rel=0.15)


def test_drawn_is_one_row_when_the_encoder_is_bare() -> None:
    bare = systems_of(Phase(), {}, sigmas=(SIGMA,), device="cpu", batch=7).encoder
    pixels = torch.full((1, 3, 4, 4), 0.5)
    assert bare.drawn(pixels, 500, torch.Generator()).shape == (1, 2)

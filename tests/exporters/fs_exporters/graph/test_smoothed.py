"""The smoothed graph is its definition: noise, normalisation, purifier, encoder, mapper, unit norm, reductions."""

from typing import Any

import pytest
import torch
from helpers.tiny_torch import tiny_adapter
from torch import nn

from fs_exporters.graph import SmoothedGraph
from fs_models.gsb import Booster, no_booster

N = 5


def _inputs(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((1, 3, 8, 8), generator=generator)
    noise = 0.25 * torch.randn((N, 3, 8, 8), generator=generator)
    return pixels, noise, torch.nn.functional.normalize(torch.randn(6, generator=generator), dim=0)


class _Scale(nn.Module):
    """Neither linear nor symmetric, so that the order of the parts shows."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tanh(values * self.factor) + 0.3


@pytest.mark.parametrize("boosted", [False, True])
@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_forward_is_the_definition_when_evaluated(tap: Any, boosted: bool) -> None:
    adapter, (pixels, noise, reference) = tiny_adapter(tap), _inputs()
    booster = Booster(_Scale(0.5), _Scale(2.0)) if boosted else no_booster()
    outputs = SmoothedGraph(adapter, booster).eval()(pixels, noise, reference)
    assert len(outputs) == (3 if tap == "tokens" else 4)

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (adapter.spec.mean, adapter.spec.std))
    normalised = [(pixels[0] + draw - mean) / std for draw in noise]
    raw = torch.stack(
        [booster.map(adapter.encode(booster.purify(each[None]))).flatten().double() for each in normalised]
    )
    unit = raw / raw.norm(dim=1, keepdim=True)
    torch.testing.assert_close(outputs[0].double(), unit @ reference.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs[1].double(), unit.sum(0), atol=5e-6, rtol=0)
    torch.testing.assert_close(outputs[2].double(), raw.norm(dim=1), atol=0, rtol=1e-5)
    if tap == "pooled":
        torch.testing.assert_close(outputs[3].double(), unit, atol=1e-6, rtol=0)
    assert all(output.dtype == torch.float32 for output in outputs)


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_unit_features_are_those_that_are_reduced_when_differentiated_too(tap: Any) -> None:
    pixels, noise, reference = _inputs()
    graph = SmoothedGraph(tiny_adapter(tap), Booster(_Scale(0.5), _Scale(2.0))).eval()
    outputs = graph(pixels, noise, reference)
    pixels.requires_grad_()
    unit = graph.unit_features(pixels + noise)
    torch.testing.assert_close(unit.detach() @ reference, outputs[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(unit.detach().sum(0), outputs[1], atol=5e-6, rtol=0)
    (gradient,) = torch.autograd.grad((unit @ reference).sum(), pixels)
    assert float(gradient.abs().sum()) > 0.0


@pytest.mark.parametrize("draw", range(N))
def test_forward_changes_one_row_when_one_draw_changes(draw: int) -> None:
    pixels, noise, reference = _inputs()
    graph = SmoothedGraph(tiny_adapter(), no_booster()).eval()
    before = graph(pixels, noise, reference)
    other = noise.clone()
    other[draw] += 0.5
    after = graph(pixels, other, reference)
    for index in (0, 2, 3):
        rows = (before[index] != after[index]).reshape(N, -1).any(dim=1).tolist()
        assert rows == [each == draw for each in range(N)]


def test_forward_adds_the_noise_before_normalising_when_std_is_small() -> None:
    # Noise added after normalising would be 1 / std = 5 times weaker or stronger.
    pixels, noise, reference = _inputs()
    adapter = tiny_adapter()
    moved = SmoothedGraph(adapter, no_booster()).eval()(pixels + noise[:1], torch.zeros_like(noise), reference)
    outputs = SmoothedGraph(adapter, no_booster()).eval()(pixels, noise, reference)
    torch.testing.assert_close(moved[3][0], outputs[3][0])


def test_forward_keeps_norm_and_sums_in_fp32_when_the_encoder_is_half() -> None:
    pixels, noise, reference = _inputs()
    booster = Booster(nn.Identity(), _Half())
    cosine, total, norm, features = SmoothedGraph(tiny_adapter(), booster).eval()(pixels, noise, reference)
    assert {each.dtype for each in (cosine, total, norm, features)} == {torch.float32}
    torch.testing.assert_close(features.norm(dim=1), torch.ones(N), atol=1e-6, rtol=0)


class _Half(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.half()

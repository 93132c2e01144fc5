"""Attacks reach the optimum where it is known, their gradients are unbiased, and what makes them void is said."""

import math

import numpy as np
import pytest
import torch
from helpers.known_torch import Phase, Rounded
from scipy import optimize

from fs_exporters.evaluation.attack import (
    L2,
    Linf,
    NoGradientError,
    OfMean,
    Pgd,
    leaving,
    reaching,
    targeted,
    turning,
)

SIGMA = 0.25


def pixels_of(encoder: Phase) -> torch.Tensor:
    return torch.rand(encoder.direction.shape, generator=torch.Generator().manual_seed(1))


def turned_by(encoder: Phase, pixels: torch.Tensor, delta: torch.Tensor) -> float:
    """The smoothed feature's angle, in closed form."""
    before, after = (encoder.smoothed(point, SIGMA) for point in (pixels, pixels + delta))
    return math.acos(min(1.0, float(torch.cosine_similarity(before, after, dim=0))))


def furthest(encoder: Phase, pixels: torch.Tensor, radius: float, sign: float) -> float:
    """The largest sign a.delta over ball and box: of clamp(sign t a), with the t that gives it the radius."""
    towards = sign * encoder.direction.double().numpy().ravel()
    low, high = -pixels.double().numpy().ravel(), 1.0 - pixels.double().numpy().ravel()
    scale = optimize.brentq(lambda t: np.linalg.norm(np.clip(t * towards, low, high)) - radius, 0.0, 1e4)
    return float(towards @ np.clip(scale * towards, low, high))


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_attacked_turns_by_the_closed_form_when_the_ball_is_l2(radius: float) -> None:
    encoder = Phase(speed=2.0)
    pixels = pixels_of(encoder)
    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    pgd = Pgd(L2(radius), SIGMA, steps=40, draws=8, boxed=False)
    delta = pgd.attacked(encoder, pixels, wanted, torch.Generator().manual_seed(2))
    assert float(delta.norm()) <= radius * (1.0 + 1e-6)
    found = turned_by(encoder, pixels, delta)
    assert 0.98 * 2.0 * radius <= found <= 2.0 * radius * (1.0 + 1e-4)


def test_attacked_turns_by_the_closed_form_when_the_ball_is_linf() -> None:
    encoder = Phase(speed=2.0)
    pixels = pixels_of(encoder)
    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    pgd = Pgd(Linf(0.05), SIGMA, steps=40, draws=8, boxed=False)
    delta = pgd.attacked(encoder, pixels, wanted, torch.Generator().manual_seed(2))
    most = 0.05 * float(encoder.direction.abs().sum())
    assert 0.95 * most <= turned_by(encoder, pixels, delta) <= most * (1.0 + 1e-4)


@pytest.mark.parametrize("radius", [1.0, 1.5])
def test_attacked_reaches_the_best_of_ball_and_box_when_pixels_are_kept_in_range(radius: float) -> None:
    encoder = Phase(speed=1.0)
    pixels = pixels_of(encoder)
    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    pgd = Pgd(L2(radius), SIGMA, steps=80, draws=8, boxed=True)
    delta = pgd.attacked(encoder, pixels, wanted, torch.Generator().manual_seed(2))
    assert bool(((pixels + delta >= 0.0) & (pixels + delta <= 1.0)).all())
    assert float(delta.norm()) <= radius * (1.0 + 1e-6)
    found = turned_by(encoder, pixels, delta)
    # Either way round is a local optimum, and the start decides which one is found.
    sign = 1.0 if float((delta * encoder.direction).sum()) > 0.0 else -1.0
    most = furthest(encoder, pixels, radius, sign)
    assert most < 0.95 * radius  # the box binds
    assert 0.97 * most <= found <= most * (1.0 + 1e-4)


def test_attacked_needs_no_noise_when_the_encoder_is_bare() -> None:
    encoder = Phase(speed=2.0)
    pixels = pixels_of(encoder)
    rows = []

    def encode(noisy: torch.Tensor) -> torch.Tensor:
        rows.append(len(noisy))
        return encoder(noisy)

    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    delta = Pgd(L2(0.2), 0.0, steps=15, draws=8, boxed=False).attacked(
        encode, pixels, wanted, torch.Generator().manual_seed(2)
    )
    assert rows == [1] * 15
    assert turned_by(encoder, pixels, delta) == pytest.approx(0.4, rel=0.02)


def test_attacked_follows_a_gradient_that_is_unbiased_when_averaged_over_noise() -> None:
    """One step of it, many times: for a loss that is linear in the mean, the smoothed encoder's own gradient."""
    encoder = Phase(speed=3.0)
    pixels = pixels_of(encoder).requires_grad_()
    target = torch.tensor([0.6, -0.8])
    (exact,) = torch.autograd.grad(encoder.encode(pixels)[0] @ target * math.exp(-0.5 * (SIGMA * 3.0) ** 2), pixels)
    seen: list[torch.Tensor] = []

    class Watched(L2):
        def start(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return torch.zeros_like(pixels)

        def scaled(self, gradient: torch.Tensor) -> torch.Tensor:
            seen.append(gradient)
            return super().scaled(gradient)

    generator = torch.Generator().manual_seed(3)
    pgd = Pgd(Watched(0.1), SIGMA, steps=1, draws=2, boxed=False)
    for _ in range(2000):
        pgd.attacked(encoder, pixels.detach(), OfMean(lambda mean: mean @ target), generator)
    found = torch.stack(seen)
    error = (found.mean(0) - exact) / (found.std(0) / math.sqrt(len(found)))
    assert float(error.abs().max()) < 4.5
    along = float((found.mean(0) * exact).sum() / exact.square().sum())
    assert along == pytest.approx(1.0, abs=0.07)


def test_attacked_noise_comes_with_its_negative_and_has_sigma_when_drawn() -> None:
    pixels = torch.full((1, 3, 2, 2), 0.5)
    seen = []

    def encode(noisy: torch.Tensor) -> torch.Tensor:
        seen.append(noisy.detach() - 0.5)
        return noisy.flatten(1)

    pgd = Pgd(L2(1e-9), SIGMA, steps=200, draws=16, boxed=False)
    pgd.attacked(encode, pixels, OfMean(lambda mean: mean.sum()), torch.Generator().manual_seed(4))
    noise = torch.stack(seen)
    torch.testing.assert_close(noise[:, 0::2], -noise[:, 1::2], rtol=0.0, atol=1e-6)
    assert float(noise.std()) == pytest.approx(SIGMA, rel=0.02)


def test_attacked_changes_the_label_or_reaches_one_when_that_is_wanted() -> None:
    encoder = Phase(speed=2.0)
    pixels = pixels_of(encoder)
    own = encoder.smoothed(pixels, 0.0)
    angle = math.atan2(float(own[1]), float(own[0]))
    angles = torch.tensor([angle, angle + 0.3, angle - 0.4, angle + 2.0])
    prototypes = torch.stack([angles.cos(), angles.sin()], 1)

    def label(loss: object, radius: float) -> int:
        pgd = Pgd(L2(radius), SIGMA, steps=40, draws=8, boxed=False)
        delta = pgd.attacked(encoder, pixels, OfMean(loss), torch.Generator().manual_seed(5))  # type: ignore[arg-type]
        return int((prototypes @ encoder.smoothed(pixels + delta, SIGMA)).argmax())

    # The borders lie 0.15 and 0.2 away, and a radius r turns by 2 r.
    assert label(leaving(prototypes, 0), 0.07) == 0
    assert label(leaving(prototypes, 0), 0.085) == 1
    assert label(reaching(prototypes, 2), 0.09) != 2
    assert label(reaching(prototypes, 2), 0.12) == 2


def test_attacked_comes_near_another_feature_when_that_is_wanted() -> None:
    encoder = Phase(speed=2.0)
    pixels = pixels_of(encoder)
    goal = encoder.smoothed(pixels + 0.2 * encoder.direction / encoder.direction.norm(), 0.0)
    pgd = Pgd(L2(0.5), SIGMA, steps=60, draws=16, boxed=False)
    delta = pgd.attacked(encoder, pixels, OfMean(targeted(goal)), torch.Generator().manual_seed(6))
    cosine = torch.cosine_similarity(encoder.smoothed(pixels + delta, SIGMA), goal, dim=0)
    assert float(cosine) > 0.995


def test_attacked_is_the_same_when_the_seed_is() -> None:
    encoder = Phase()
    pixels = pixels_of(encoder)
    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    pgd = Pgd(L2(0.2), SIGMA, steps=5, draws=4, boxed=True)
    first, again, other = (
        pgd.attacked(encoder, pixels, wanted, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_attacked_refuses_when_no_gradient_reaches_the_pixels() -> None:
    encoder = Phase()
    pixels = pixels_of(encoder)
    wanted = OfMean(turning(encoder.smoothed(pixels, 0.0)))
    pgd = Pgd(L2(0.2), SIGMA, steps=5, draws=4, boxed=True)
    with pytest.raises(NoGradientError, match="would only seem to fail"):
        pgd.attacked(lambda noisy: encoder(Rounded()(noisy)), pixels, wanted, torch.Generator().manual_seed(7))


def test_attacked_refuses_when_the_gradient_is_not_finite() -> None:
    pixels = torch.full((1, 3, 2, 2), 0.5)
    pgd = Pgd(L2(0.2), SIGMA, steps=5, draws=4, boxed=True)
    with pytest.raises(NoGradientError, match="not finite"):
        pgd.attacked(
            lambda noisy: (noisy.flatten(1) - 5.0).sqrt(),
            pixels,
            OfMean(lambda mean: mean.sum()),
            torch.Generator().manual_seed(7),
        )

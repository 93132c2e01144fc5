"""What a booster is fitted by."""

import pytest
import torch

from fs_models.gsb.fitting.losses import contrast_loss, inner_loss, statistics_loss

CLEAN = torch.eye(4)


def test_contrast_loss_is_small_when_each_feature_is_its_own_clean_one() -> None:
    own = contrast_loss(3.0 * CLEAN, CLEAN, torch.arange(4))
    shuffled = contrast_loss(CLEAN.roll(1, 0), CLEAN, torch.arange(4))
    assert float(own) < 0.01
    assert float(shuffled) > 5.0


def test_contrast_loss_grows_when_features_are_drawn_together() -> None:
    together = CLEAN + CLEAN.mean(0)
    assert float(contrast_loss(together, CLEAN, torch.arange(4))) > float(contrast_loss(CLEAN, CLEAN, torch.arange(4)))


def test_contrast_loss_takes_copies_of_a_crop_for_no_others_when_they_are_in_the_batch() -> None:
    rows = torch.tensor([0, 0, 1])
    # Of two crops, however often they are there, each feature is told from the one other.
    expected = contrast_loss(CLEAN[:2], CLEAN[:2], torch.arange(2))
    assert float(contrast_loss(CLEAN[[0, 0, 1]], CLEAN[[0, 0, 1]], rows)) == pytest.approx(float(expected), rel=0.5)
    assert float(contrast_loss(CLEAN[[0, 0]], CLEAN[[0, 0]], torch.tensor([0, 0]))) == 0.0


def test_inner_loss_compares_place_by_place_when_maps_are_of_pixels_or_of_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 5, 3, 4, generator=generator)
    tokens = pixels.flatten(2).mT
    turned = pixels.clone()
    turned[:, :, :, :2] *= -7.0  # half of the places point the other way, whatever their lengths
    assert float(inner_loss([3.0 * pixels], [pixels])) == pytest.approx(0.0, abs=1e-6)
    assert float(inner_loss([turned], [pixels])) == pytest.approx(1.0)
    assert float(inner_loss([turned.flatten(2).mT], [tokens])) == pytest.approx(1.0)


def test_inner_loss_is_the_mean_over_maps_when_there_are_several() -> None:
    pixels, tokens = torch.ones(1, 2, 3, 3), torch.ones(1, 4, 2)
    assert float(inner_loss([-pixels, tokens], [pixels, tokens])) == pytest.approx(1.0)
    assert float(inner_loss([], [])) == 0.0
    with pytest.raises(ValueError, match="zip"):
        inner_loss([pixels], [pixels, tokens])


def test_statistics_loss_is_none_when_only_lengths_and_the_order_differ() -> None:
    clean = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    assert float(statistics_loss(3.0 * clean.flip(0), clean)) == pytest.approx(0.0, abs=1e-6)


def test_statistics_loss_counts_means_and_deviations_when_features_are_drawn_together() -> None:
    clean = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # The mean moves from 0 to (0, 1), the first coordinate's standard deviation from sqrt(2) to 0.
    assert float(statistics_loss(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), clean)) == pytest.approx(1.0 + 2.0)

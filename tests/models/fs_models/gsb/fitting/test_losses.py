"""What a booster is fitted by."""

import pytest
import torch

from fs_models.gsb.fitting.losses import contrast_loss

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

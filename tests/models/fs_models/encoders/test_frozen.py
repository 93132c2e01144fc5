"""Folding batch norms for training."""

import pytest
import torch
from helpers import tiny_torch
from torch import nn

from fs_models.encoders import frozen
from fs_models.encoders.frozen import frozen_for_training


def _norms(module: nn.Module) -> int:
    return sum(isinstance(each, nn.BatchNorm2d) for each in module.modules())


def test_frozen_for_training_folds_the_norm_when_the_features_stay() -> None:
    encoder = tiny_torch.tiny_adapter()
    folded = frozen_for_training(encoder, torch.device("cpu"))
    assert (_norms(encoder), _norms(folded)) == (1, 0)
    pixels = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(folded(pixels), encoder(pixels), rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_frozen_for_training_folds_nothing_when_the_features_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    real = frozen.fuse_conv_bn_eval

    def wrong(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
        made = real(convolution, norm)
        with torch.no_grad():
            made.weight.mul_(1.5)
        return made

    monkeypatch.setattr(frozen, "fuse_conv_bn_eval", wrong)
    encoder = tiny_torch.tiny_adapter()
    plain = frozen_for_training(encoder, torch.device("cpu"))
    assert _norms(plain) == 1
    pixels = torch.rand(2, 3, 8, 8)
    assert torch.equal(plain(pixels), encoder(pixels))


def test_frozen_for_training_leaves_a_norm_when_something_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_torch.tiny_adapter()
    inner = encoder.norm
    encoder.norm = nn.Sequential(nn.ReLU(), inner)  # type: ignore[assignment]
    assert _norms(frozen_for_training(encoder, torch.device("cpu"))) == 1

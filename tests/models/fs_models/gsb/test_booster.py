"""The slot for a booster."""

import torch
from torch import nn

from fs_models.gsb import Booster, no_booster


def test_no_booster_changes_nothing_when_applied() -> None:
    values = torch.randn((2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    booster = no_booster()
    assert torch.equal(booster.purify(values), values)
    assert torch.equal(booster.map(values), values)
    assert list(booster.parameters()) == []


def test_booster_uses_each_part_in_its_place_when_given_two() -> None:
    booster = Booster(nn.Hardtanh(-1.0, 1.0), nn.ReLU())
    values = torch.tensor([-3.0, 0.5, 3.0])
    assert booster.purify(values).tolist() == [-1.0, 0.5, 1.0]
    assert booster.map(values).tolist() == [0.0, 0.5, 3.0]

"""Names of the ImageNet classes: all there, in the order of the classifiers' outputs, with their licence."""

import re

import pytest
import torch

from fs_models.encoders.imagenet import imagenet_ids, imagenet_names, imagenet_prototypes


def test_imagenet_names_are_a_thousand_different_ones_when_read() -> None:
    names = imagenet_names()
    assert len(names) == 1000
    assert len({name.casefold() for name in names}) == 1000
    assert all(name == name.strip() and name and name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench"),
        (134, "crane (wading bird)"),
        (264, "Cardigan Welsh corgi"),
        (281, "tabby"),
        (285, "Egyptian cat"),
        (474, "cardigan"),
        (517, "crane (lifting device)"),
        (638, "maillot"),
        (639, "tank suit"),
        (744, "projectile"),
        (967, "espresso"),
        (999, "toilet tissue"),
    ],
)
def test_imagenet_names_are_in_the_order_of_the_wordnet_ids_when_read(index: int, name: str) -> None:
    assert imagenet_names()[index] == name


def test_imagenet_ids_are_a_thousand_rising_ones_when_read() -> None:
    ids = imagenet_ids()
    assert len(ids) == 1000
    assert list(ids) == sorted(set(ids))
    assert all(re.fullmatch("n[0-9]{8}", each) for each in ids)


@pytest.mark.parametrize(
    ("index", "name", "wordnet"),
    [(0, "tench", "n01440764"), (281, "tabby", "n02123045"), (967, "espresso", "n07920052")],
)
def test_imagenet_ids_are_those_of_the_names_when_read(index: int, name: str, wordnet: str) -> None:
    assert (imagenet_names()[index], imagenet_ids()[index]) == (name, wordnet)


def test_imagenet_prototypes_carry_names_and_licence_when_made() -> None:
    weights = torch.nn.Parameter(torch.rand(1000, 3, dtype=torch.float64))
    offered = imagenet_prototypes(weights)
    assert offered.labels == imagenet_names()
    assert torch.equal(offered.vectors, weights.detach().float())
    assert not offered.vectors.requires_grad
    assert "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved." in offered.notice
    assert "THIS SOFTWARE AND DATABASE IS PROVIDED" in offered.notice

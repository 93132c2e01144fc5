"""What an attack makes small, as a function of a smoothed feature (the mean [D] of noisy unit features)."""

from collections.abc import Callable

import torch
from torch.nn.functional import cosine_similarity

Loss = Callable[[torch.Tensor], torch.Tensor]
"""The mean [D] of noisy unit features to a number that the attack makes small."""


def turning(reference: torch.Tensor) -> Loss:
    """Away from a reference [D]: its cosine with the smoothed feature."""
    return lambda mean: cosine_similarity(mean, reference, dim=0)


def targeted(target: torch.Tensor) -> Loss:
    """Towards a target [D], such as another image's feature: its cosine, negated."""
    return lambda mean: -cosine_similarity(mean, target, dim=0)


def leaving(prototypes: torch.Tensor, label: int) -> Loss:
    """Away from a label: by how much its prototype of unit rows [C, D] is nearer than the nearest other one."""

    def margin(mean: torch.Tensor) -> torch.Tensor:
        cosines = prototypes @ mean / mean.norm()
        others = torch.cat([cosines[:label], cosines[label + 1 :]])
        nearer: torch.Tensor = cosines[label] - others.max()
        return nearer

    return margin


def reaching(prototypes: torch.Tensor, label: int) -> Loss:
    """Towards a label: by how much some other prototype of unit rows [C, D] is nearer."""
    margin = leaving(prototypes, label)
    return lambda mean: -margin(mean)

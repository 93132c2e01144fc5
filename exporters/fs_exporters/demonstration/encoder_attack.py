"""What an attack does to the bare encoder, which has no certificate to set beside it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fs_exporters.evaluation.attack import L2, OfMean, Pgd, leaving, turning
from fs_exporters.evaluation.goals import Labels
from fs_exporters.evaluation.systems import System, systems_of
from fs_exporters.evaluation.turned import exactly
from fs_models.encoders import EncoderAdapter
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.preprocess import PreparedImage

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AttackedEncoder:
    """The bare encoder on one photo, attacked twice: to turn its feature, and to change its label.

    Attributes:
        label: without attack.
        attacked_label: under the attack on the label.
        degrees: from the clean feature to the turned one: at least so far can an attack of this radius turn it.
    """

    label: str
    attacked_label: str
    degrees: float


def bare_encoder(encoder: EncoderAdapter) -> System:
    """What is attacked, on the CPU: make it once, as an encoder with batch norms is copied for it."""
    return systems_of(encoder, {}, sigmas=(), device="cpu", batch=1).encoder


def attack_encoder(
    bare: System, image: PreparedImage, prototypes: Prototypes, *, radius: float, steps: int, seed: int = 0
) -> AttackedEncoder:
    """Attack the bare encoder by projected gradient descent; attacked pixels stay in [0, 1].

    Args:
        bare: see :func:`bare_encoder`.
        image: as the graph receives it.
        prototypes: of the labels.
        radius: l2, over [0, 1] pixels.
        steps: of each attack.
        seed: of where attacks begin.

    Raises:
        NoGradientError: no gradient reaches the pixels.
    """
    labels = Labels(prototypes.vectors, prototypes.labels)
    pixels = bare.pixels(image.pixel_values)
    clean = bare.features(pixels)[0]
    label = int(labels.of(clean[None])[0])
    pgd = Pgd(L2(radius), sigma=0.0, steps=steps, draws=2, boxed=True)

    def attacked(objective: OfMean) -> Floats:
        delta = pgd.attacked(bare.encode, pixels, objective, torch.Generator().manual_seed(seed))
        return np.asarray(bare.features(pixels + delta)[0])

    turned = attacked(OfMean(turning(_tensor(clean))))
    left = attacked(OfMean(leaving(_tensor(labels.vectors), label)))
    return AttackedEncoder(
        label=labels.names[label],
        attacked_label=labels.names[int(labels.of(left[None])[0])],
        degrees=exactly(turned, clean).estimate,
    )


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))

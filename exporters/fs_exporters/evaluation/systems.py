"""What is compared: the bare encoder, its smoothed feature (FS), and the smoothed feature with a booster (FS + GSB)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fs_exporters.graph import SmoothedGraph, smoothed_graph
from fs_models.encoders import EncoderAdapter
from fs_models.encoders.frozen import frozen_for_training
from fs_models.gsb import Booster, no_booster
from fs_runtime.errors import InputError

Floats = npt.NDArray[np.float64]
SystemName = Literal["encoder", "fs", "fs+gsb"]
TITLES: dict[SystemName, str] = {"encoder": "encoder", "fs": "FS", "fs+gsb": "FS + GSB"}


@dataclass(frozen=True, eq=False)
class System:
    """One of the three at one noise.

    Attributes:
        name: which.
        sigma: of its noise, over [0, 1] pixels; 0 for the bare encoder.
        graph: the module, whose unit features are averaged.
        device: where it is.
        batch: the most noisy copies in one run.
    """

    name: SystemName
    sigma: float
    graph: SmoothedGraph
    device: torch.device
    batch: int

    def encode(self, noisy: torch.Tensor) -> torch.Tensor:
        """Unit features [N, D] of noisy pixels [N, 3, H, W]; differentiable."""
        return self.graph.unit_features(noisy)

    @torch.inference_mode()
    def features(self, noisy: torch.Tensor) -> Floats:
        """Unit features [N, D] for measuring.

        Raises:
            InputError: some are not finite.
        """
        rows = self.encode(noisy).cpu().numpy().astype(np.float64)
        if not np.isfinite(rows).all():
            raise InputError(
                f"{TITLES[self.name]} gives features that are not finite: mend its weights, or leave it out"
            )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def drawn(self, pixels: torch.Tensor, draws: int, generator: torch.Generator) -> Floats:
        """Unit features [draws, D] of noisy copies of pixels [1, 3, H, W]; one row for the bare encoder."""
        if self.sigma == 0.0:
            return self.features(pixels)
        rows = []
        for start in range(0, draws, self.batch):
            shape = (min(self.batch, draws - start), *pixels.shape[1:])
            noise = torch.randn(shape, generator=generator, device=pixels.device)
            rows.append(self.features(pixels + self.sigma * noise))
        return np.concatenate(rows)

    def pixels(self, values: npt.NDArray[np.float32]) -> torch.Tensor:
        """An image as the module takes it."""
        return torch.from_numpy(values).to(self.device)


@dataclass(frozen=True, eq=False)
class Systems:
    """Everything that is compared.

    Attributes:
        encoder: the bare encoder.
        smoothed: by sigma, the systems with noise.
        batch_norms: ``"folded"`` into convolutions, which rounds otherwise; ``"as they are"``; ``"2 of 3 folded"``; or
            ``"none"`` that could be.
    """

    encoder: System
    smoothed: Mapping[float, tuple[System, ...]]
    batch_norms: str

    def at(self, sigma: float) -> tuple[System, ...]:
        """The systems that are compared at a sigma, the bare encoder first."""
        return (self.encoder, *self.smoothed[sigma])


def systems_of(
    encoder: EncoderAdapter, boosters: Mapping[float, Booster], *, sigmas: tuple[float, ...], device: str, batch: int
) -> Systems:
    """The systems on a device.

    Args:
        encoder: bare encoder.
        boosters: by sigma; none: FS + GSB is left out there.
        sigmas: of the noise.
        device: of PyTorch, such as ``"cuda"``.
        batch: the most noisy copies in one run.

    Raises:
        InputError: the device cannot be used here.
    """
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device} cannot be used here ({error}): name another, such as cpu") from error
    # TF32 convolutions would measure another function than the one that is exported.
    torch.backends.cudnn.allow_tf32 = False
    norms = left = _norms(encoder)
    if norms:
        # Attacks take nearly all of the time, and are faster so.
        encoder = frozen_for_training(encoder, place)
        left = _norms(encoder)

    def system(name: SystemName, sigma: float, booster: Booster) -> System:
        graph = smoothed_graph(encoder, booster, images=1).requires_grad_(False).to(place)
        # Convolutions are faster so on CPUs; their inputs follow.
        graph = graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # modules take it too
        return System(name, sigma, graph, place, batch)

    bare = system("encoder", 0.0, no_booster())
    smoothed = {}
    for sigma in sigmas:
        made = [system("fs", sigma, no_booster())]
        if sigma in boosters:
            made.append(system("fs+gsb", sigma, boosters[sigma]))
        smoothed[sigma] = tuple(made)
    return Systems(bare, smoothed, _folding(norms, left))


def _norms(encoder: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())


def _folding(norms: int, left: int) -> str:
    """What became of an encoder's batch norms."""
    if norms == 0:
        return "none"
    if left == norms:
        return "as they are"
    return "folded" if left == 0 else f"{norms - left} of {norms} folded"

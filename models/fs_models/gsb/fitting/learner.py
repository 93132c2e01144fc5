"""One network in training: AdamW, clipped gradients, a moving average of its weights, and all of it as tensors."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import nn

from fs_models.gsb.fitting.workers import Workers

_DECAY = 0.998
_CLIP = 1.0
_WARM_UP = 50
_WEIGHT_DECAY = 1e-4
Item = TypeVar("Item")
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class DivergedError(ArithmeticError):
    """The loss or its gradient is no number any more."""


class Learner:
    """Trains ``module``; ``average`` is what to use of it."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        self.module = module.train()
        self.steps = 0
        self._rate = rate
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=rate, weight_decay=_WEIGHT_DECAY)
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def learn(
        self, parts: Sequence[Item], loss: Callable[[nn.Module, Item], torch.Tensor], workers: Workers, progress: float
    ) -> float:
        """One step down the gradient of the mean of ``loss`` over the parts of a batch.

        Args:
            parts: of equal weight.
            loss: of the network and a part.
            workers: who take the parts.
            progress: in [0, 1]; sets the rate, which falls as a cosine.

        Returns:
            The mean loss.

        Raises:
            DivergedError: the loss or the gradient is not finite; nothing was changed.
        """

        def slope(part: Item) -> tuple[float, tuple[torch.Tensor, ...]]:
            lost = loss(self.module, part) / len(parts)
            return float(lost.detach()), torch.autograd.grad(lost, self._parameters)

        made = workers.map(slope, parts)
        mean = sum(lost for lost, _ in made)
        if not math.isfinite(mean):
            raise DivergedError(f"the loss is {mean} at step {self.steps}")
        for parameter, *gradients in zip(self._parameters, *(each for _, each in made), strict=True):
            parameter.grad = torch.stack(gradients).sum(0) if len(gradients) > 1 else gradients[0]
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        if not math.isfinite(float(norm)):
            raise DivergedError(f"the gradient is {float(norm)} at step {self.steps}")
        fall = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, (self.steps + 1) / _WARM_UP) * max(fall, 0.01)
        self._optimizer.step()
        self.steps += 1
        keep = min(_DECAY, (1.0 + self.steps) / (10.0 + self.steps))
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1.0 - keep)
                else:
                    self.average[name].copy_(value)
        return mean

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that a resumed training needs but ``steps``."""
        kept = {f"weights.{name}": value for name, value in self.module.state_dict().items()}
        kept |= {f"average.{name}": value for name, value in self.average.items()}
        for place, moments in self._moments():
            kept |= {f"moments.{place}.{name}": torch.as_tensor(moments[name]) for name in _MOMENTS}
        return {name: value.detach().clone().contiguous().cpu() for name, value in kept.items()}

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from :meth:`tensors`."""
        self.steps = steps

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.module.load_state_dict(part("weights."))
        for name, value in part("average.").items():
            self.average[name].copy_(value)
        for place, parameter in enumerate(self._parameters):
            moments = part(f"moments.{place}.")
            if moments:
                self._optimizer.state[parameter] = {
                    name: value.clone() if name == "step" else value.clone().to(parameter.device)
                    for name, value in moments.items()
                }

    def _moments(self) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
        for place, parameter in enumerate(self._parameters):
            if self._optimizer.state.get(parameter):
                yield place, self._optimizer.state[parameter]
